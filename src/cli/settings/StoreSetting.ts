/** The setting of the store, in a module of its own: it loads all the stores. */
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import * as Setting from "./Setting.ts"

export const store = Setting.withDefault("store", "<url>", {
  description: "Where the bets are kept: sqlite:FILE, csv:FILE or postgres://USER@HOST/DATABASE",
  schema: StoreUrl.StoreUrlFromText,
  secret: true,
  default: StoreUrl.defaultStore,
  shownDefault: "sqlite:lottery.db"
})
