/**
 * Debian's Chromium, driven by playwright-core. A test of a page is skipped if it is not installed
 * (`apt-get install --no-install-recommends chromium`).
 */
import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { Effect } from "effect"
import { type Browser, chromium, type Page } from "playwright-core"
import { describeUnless } from "../describeUnless.ts"

/** How long a page may take to show what a test waits for. */
const PATIENCE_MILLIS = 30_000

const CHROMIUM = "/usr/bin/chromium"

/** A suite that needs the browser; skipped if this machine does not have it. */
export const describeBrowser = (name: string, body: () => void): void =>
  describeUnless(existsSync(CHROMIUM) ? undefined : `no ${CHROMIUM}`, name, body)

/** A browser that is closed with the scope. */
export const launch = Effect.acquireRelease(
  Effect.promise(() => chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] })),
  (browser) => Effect.promise(() => browser.close())
)

export interface Window {
  readonly width: number
  readonly height: number
  readonly colorScheme: "light" | "dark"
}

export const DESKTOP: Window = { width: 1280, height: 900, colorScheme: "light" }
export const PHONE: Window = { width: 360, height: 740, colorScheme: "light" }

/** A page, with what the browser complained of and the origins that were asked for something. */
export interface WatchedPage {
  readonly page: Page
  readonly complaints: Array<string>
  readonly origins: Set<string>
}

/** Opens an empty page without anything stored, and closes it with the scope. */
export const open = (browser: Browser, window: Window) =>
  Effect.acquireRelease(
    Effect.promise(async (): Promise<WatchedPage> => {
      const { colorScheme, height, width } = window
      const page = await browser.newPage({ viewport: { height, width }, colorScheme })
      page.setDefaultTimeout(PATIENCE_MILLIS)
      const complaints: Array<string> = []
      const origins = new Set<string>()
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) complaints.push(message.text())
      })
      page.on("pageerror", (error) => complaints.push(String(error)))
      page.on("dialog", (dialog) => {
        complaints.push(`dialog: ${dialog.message()}`)
        return dialog.dismiss()
      })
      page.on("request", (request) => origins.add(new URL(request.url()).origin))
      return { page, complaints, origins }
    }),
    ({ page }) => Effect.promise(() => page.close())
  )

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js")

interface Fault {
  readonly id: string
  readonly impact: string
  readonly nodes: ReadonlyArray<{ readonly html: string; readonly failureSummary: string }>
}

/** The serious faults of accessibility that axe-core finds, one line each. */
export const seriousFaults = (page: Page): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(async () => {
    // The protocol of the browser's tools, which a content security policy does not stop.
    await page.evaluate(readFileSync(AXE, "utf8"))
    const faults: ReadonlyArray<Fault> = await page.evaluate(
      "axe.run().then((all) => all.violations)"
    )
    return faults
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`))
  })
