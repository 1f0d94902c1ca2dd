/**
 * Goal: the sources follow the project's rules on imports, the length of lines and files, and what
 * they must not contain; every installed package has a hash. Method: reads the files as text.
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

/**
 * The folders of `src/`, and the folders that each may import from besides itself. A folder that is
 * not listed belongs to the one above it.
 */
const MAY_IMPORT: Readonly<Record<string, ReadonlyArray<string>>> = {
  domain: [],
  protocol: ["domain"],
  "server/store": ["protocol", "domain"],
  "server/lottery": ["server/store", "protocol", "domain"],
  "server/operator": ["server/admission", "server/lottery", "server/store", "protocol", "domain"],
  "server/operator/board": ["server/operator"],
  "server/admission": ["protocol", "domain"],
  "server/session": ["server/admission", "server/lottery", "server/store", "protocol", "domain"],
  server: [
    "server/session",
    "server/admission",
    "server/lottery",
    "server/store",
    "protocol",
    "domain"
  ],
  client: ["protocol", "domain"],
  cli: [
    "client",
    "server",
    "server/admission",
    "server/lottery",
    "server/operator",
    "server/store",
    "protocol",
    "domain"
  ]
}
/** Modules that open files or sockets. The domain and the protocol must not import them. */
const INPUT_AND_OUTPUT = /^(node:(?!buffer|crypto)|@effect\/platform-node|effect\/FileSystem)/

const importsOf = (file: string): ReadonlyArray<string> =>
  [...textOf(file).matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]!)

/** The project's own files that a file imports. */
const importedBy = (file: string): ReadonlyArray<string> =>
  importsOf(file)
    .filter((imported) => imported.startsWith("."))
    .map((imported) => relative(root, join(root, dirname(file), imported)))
    .filter((target) => target !== "package.json")

/** The entry of the table that a file belongs to. */
const folderOf = (file: string): string => {
  let folder = dirname(file).slice("src/".length)
  while (!(folder in MAY_IMPORT)) folder = dirname(folder)
  return folder
}

describe("imports", () => {
  it.each(sources)("of %s go down only", (file) => {
    const folder = folderOf(file)
    const isPure = folder === "domain" || folder === "protocol"
    for (const imported of importsOf(file)) {
      expect(isPure && INPUT_AND_OUTPUT.test(imported), imported).toBe(false)
    }
    for (const target of importedBy(file)) {
      const allowed = [folder, ...MAY_IMPORT[folder]!]
      expect(allowed, `${file} imports ${target}`).toContain(folderOf(target))
    }
  })

  it("of the curve are dynamic, so that only a command that checks a beacon loads it", () => {
    const curve = "src/domain/seal/BeaconSignature.ts"
    for (const file of sources.filter((file) => file !== curve)) {
      expect(textOf(file), file).not.toMatch(/"@noble\/|from "[^"]*\/BeaconSignature\.ts"/)
    }
  })

  it("go nowhere in a circle", () => {
    const seen = new Set<string>()
    const visit = (file: string, path: ReadonlyArray<string>): void => {
      const start = path.indexOf(file)
      expect(start, [...path.slice(start), file].join(" imports ")).toBe(-1)
      if (seen.has(file)) return
      for (const target of importedBy(file)) visit(target, [...path, file])
      seen.add(file)
    }
    for (const file of sources) visit(file, [])
  })
})

describe("folders", () => {
  it("hold one subject each, of fifteen files at most", () => {
    const counts = new Map<string, number>()
    for (const file of sources) {
      counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1)
    }
    for (const [folder, count] of counts) {
      if (folder !== "src/cli/commands") expect(count, folder).toBeLessThanOrEqual(15)
    }
  })
})

describe("text", () => {
  it.each(all)("of %s is short and final", (file) => {
    const lines = textOf(file).split("\n")
    const long = lines.filter((line) => line.length > 100)
    expect(long).toEqual([])
    if (file.startsWith("src")) expect(lines.length).toBeLessThanOrEqual(351)
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
      // The other entries are folders of the project, or links to them.
      if (path.includes("node_modules/") && !link) expect(integrity, path).toMatch(/^sha512-/)
    }
  })

  it("has the Node that runs the tests, for each platform", () => {
    const platforms = Object.entries(packages).filter(([path]) => /\/node(-\w+){2,3}$/.test(path))
    expect(platforms).toHaveLength(5)
    for (const [path, { version }] of platforms) expect(version, path).toBe(process.versions.node)
  })
})
