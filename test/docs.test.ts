/** Goal: the documents and the code agree with each other. Method: reads both as text. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, it } from "vitest"
import { KNOWN_KEYS } from "../src/cli/settings/SettingKeys.ts"
import vectors from "./protocol/vectors.json" with { type: "json" }
import * as Documents from "./support/Documents.ts"

const { DOCUMENTS, ROOT } = Documents

describe("links", () => {
  it.each(DOCUMENTS)("in %s lead somewhere", (document) => {
    for (const link of Documents.linksOf(document)) {
      const [path, anchor] = link.split("#")
      const target = path === "" ? document : join(dirname(document), path!)
      expect(existsSync(join(ROOT, target)), link).toBe(true)
      if (anchor === undefined) continue
      expect(Documents.headingsOf(target).map(Documents.anchorOf), link).toContain(anchor)
    }
  })
})

it("every section that a comment cites exists", () => {
  const sources = ["src", "test", "bench"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => join(folder, file))
  )
  let cited = 0
  for (const file of sources) {
    const text = readFileSync(join(ROOT, file), "utf8").replace(/\n \* /g, " ")
    for (const [, document, section] of text.matchAll(/(docs\/[a-z-]+\.md), "([^"]+)"/g)) {
      cited++
      expect(Documents.headingsOf(document!), `${file} cites ${document}`).toContain(section)
    }
  }
  expect(cited).toBeGreaterThan(10)
})

it("docs/wire.md has every test vector", () => {
  const wire = Documents.textOf("docs/wire.md").replaceAll("\n", "")
  for (const { hex, means, sha256 } of vectors) {
    expect(wire.includes(hex ?? sha256!), means).toBe(true)
  }
})

it.each(KNOWN_KEYS)("docs/settings.md has the setting %s", (key) => {
  const settings = Documents.textOf("docs/settings.md")
  const flag = key.startsWith("LOTTERY_") ? key.slice(8).toLowerCase().replaceAll("_", "-") : ""
  expect(settings).toContain(flag === "" ? `\`${key}\`` : `\`--${flag}`)
})

describe("docs/metrics.md", () => {
  const namesIn = (document: string, heading: string) =>
    Documents.rowsOf(document, heading).map(([name]) => Documents.codeOf(name!)[0]!)

  it("has every metric that an alert or a query uses", () => {
    const metrics = namesIn("docs/metrics.md", "The metrics")
    const queries = Documents.rowsOf("docs/metrics.md", "Several servers")
    const text = `${Documents.textOf("docs/alerts.yaml")}${queries}`
    const names = text.match(/\b(lottery|process|nodejs)_\w+/g) ?? []
    expect(names.length).toBeGreaterThan(20)
    for (const name of names) expect(metrics).toContain(name.replace(/_(bucket|sum|count)$/, ""))
  })
})
