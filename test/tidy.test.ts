/**
 * Goal: the house stays as it is meant to be: who imports whom, how long lines and files are, and
 * what has no place in the sources; and what of others it installs. Method: reads them as text.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "..")
const filesIn = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(folder, file))

const sources = filesIn("src")
const all = [...sources, ...filesIn("test"), ...filesIn("bench")]
const textOf = (file: string): string => readFileSync(join(root, file), "utf8")

/** What each folder of `src/` may import of the others. */
const MAY_IMPORT: Readonly<Record<string, ReadonlyArray<string>>> = {
  domain: [],
  protocol: ["domain"],
  server: ["protocol", "domain"],
  client: ["protocol", "domain"],
  cli: ["client", "server", "protocol", "domain"]
}
/** Modules that open files or sockets, which domain and protocol leave to others. */
const INPUT_AND_OUTPUT = /^(node:(?!buffer)|@effect\/platform-node|effect\/FileSystem)/

const importsOf = (file: string): ReadonlyArray<string> =>
  [...textOf(file).matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]!)

const folderOf = (file: string): string => file.split("/")[1]!

describe("imports", () => {
  it.each(sources)("of %s go down only", (file) => {
    const folder = folderOf(file)
    for (const imported of importsOf(file)) {
      if (!imported.startsWith(".")) {
        const isPure = folder === "domain" || folder === "protocol"
        expect(isPure && INPUT_AND_OUTPUT.test(imported), imported).toBe(false)
        continue
      }
      const target = relative(root, join(root, dirname(file), imported))
      if (target === "package.json") continue
      const allowed = [folder, ...(MAY_IMPORT[folder] ?? [])]
      expect(allowed, `${file} imports ${target}`).toContain(folderOf(target))
    }
  })
})

describe("text", () => {
  it.each(all)("of %s is short and final", (file) => {
    const lines = textOf(file).split("\n")
    const long = lines.filter((line) => line.length > 100)
    expect(long).toEqual([])
    if (file.startsWith("src")) expect(lines.length).toBeLessThanOrEqual(450)
    const forbidden = ["@ts-ig" + "nore", "TO" + "DO", "FIX" + "ME", ".on" + "ly("]
    for (const word of forbidden) expect(textOf(file)).not.toContain(word)
  })
})

describe("package-lock.json", () => {
  interface Locked {
    readonly version?: string
    readonly integrity?: string
    readonly link?: boolean
    readonly hasInstallScript?: boolean
  }
  const { packages } = JSON.parse(textOf("package-lock.json")) as {
    readonly packages: Readonly<Record<string, Locked>>
  }

  it("has the hash of every package, and none that runs a script when it is installed", () => {
    for (const [path, { hasInstallScript, integrity, link }] of Object.entries(packages)) {
      expect(hasInstallScript, path).toBeUndefined()
      // What is no package of a registry is a folder of the project, or a link to one.
      if (path.includes("node_modules/") && !link) expect(integrity, path).toMatch(/^sha512-/)
    }
  })

  it("has the Node that runs the tests, for each platform", () => {
    const platforms = Object.entries(packages).filter(([path]) => /\/node(-\w+){2,3}$/.test(path))
    expect(platforms).toHaveLength(5)
    for (const [path, { version }] of platforms) expect(version, path).toBe(process.versions.node)
  })
})
