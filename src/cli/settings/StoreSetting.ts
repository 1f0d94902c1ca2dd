/** The store setting. It has its own module because it loads all the stores. */
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import * as Setting from "./Setting.ts"

export const store = Setting.withDefault("store", "<url>", {
  description: "Bet store: sqlite:FILE, csv:FILE or postgres://USER@HOST/DATABASE",
  schema: StoreUrl.StoreUrlFromText,
  secret: true,
  default: StoreUrl.defaultStore,
  shownDefault: "sqlite:lottery.db"
})
