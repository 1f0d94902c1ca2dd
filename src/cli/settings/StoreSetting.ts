/** The setting of the store, apart from those that a client has too: it needs all the stores. */
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import * as Setting from "./Setting.ts"

/** The store that a command writes or reads. */
export const store = Setting.withDefault("store", {
  description: "Where the bets are kept: sqlite:FILE, csv:FILE or postgres://USER@HOST/DATABASE",
  schema: StoreUrl.StoreUrlFromText,
  metavar: "url",
  secret: true,
  default: StoreUrl.defaultStore,
  shownDefault: "sqlite:lottery.db"
})
