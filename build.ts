/**
 * Builds the shipped command: `dist/lottery.cjs`, a folder with the scripts that it loads and the
 * files of the live board, and the notices of the bundled packages. The folder is named after a
 * hash of its content and is complete before `lottery.cjs` refers to it. Builds can therefore run
 * concurrently, and the command never starts with an incomplete build.
 */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { join } from "node:path"
import { promisify } from "node:util"
import { build, type OutputChunk, type OutputOptions } from "rolldown"
import { SIGNALS, WORKER } from "./src/cli/process/CompiledCommand.ts"

const root = import.meta.dirname
const dist = join(root, "dist")
const sources = join(root, "src", "cli", "process")
const board = join(root, "src", "server", "operator", "board")

// Large dependencies that nothing here needs; importing a library's index file pulls them in.
const UNWANTED = /node_modules\/(undici|ws|ioredis|redis)\//

type Chunks = readonly [entry: OutputChunk, ...others: ReadonlyArray<OutputChunk>]

/** Bundles `input` and its imports, except Node's modules and `external`. */
const bundle = async (
  input: string,
  options: OutputOptions,
  { define = {}, external }: { define?: Record<string, string>; external?: string } = {}
): Promise<Chunks> => {
  const {
    output: [entry, ...others]
  } = await build({
    input: join(sources, input),
    cwd: root,
    platform: "node",
    external: (id) => external !== undefined && id.endsWith(external),
    resolve: { alias: { ws: join(sources, "NoWebSocket.ts") } },
    write: false,
    transform: {
      // A library reads `import.meta.env`, which Node does not have.
      define: { "import.meta.env": "undefined", ...define },
      inject: { "Intl.Segmenter": [join(sources, "LazySegmenter.ts"), "LazySegmenter"] }
    },
    // Not minified, to keep stack traces readable.
    output: { ...options, comments: false }
  })
  const chunks: Chunks = [entry, ...others.filter((file) => file.type === "chunk")]
  const loaded = [external, ...chunks.map(({ fileName }) => fileName)]
  for (const { imports, moduleIds } of chunks) {
    const missing = imports.find((name) => !name.startsWith("node:") && !loaded.includes(name))
    if (missing !== undefined) throw new Error(`${missing} is not in the bundle`)
    const unwanted = moduleIds.find((module) => UNWANTED.test(module))
    if (unwanted !== undefined) throw new Error(`${unwanted} is in the bundle`)
  }
  return chunks
}

/** Returns the modules that a script loads, with those of the scripts that it imports. */
const modulesOf = (chunks: Chunks, script: string): ReadonlySet<string> => {
  const modules = new Set<string>()
  const loaded = new Set<string>()
  const load = (name: string): void => {
    const chunk = chunks.find(({ fileName }) => fileName === name)
    if (chunk === undefined || loaded.has(name)) return
    loaded.add(name)
    for (const module of chunk.moduleIds) modules.add(module)
    for (const imported of chunk.imports) load(imported)
  }
  load(script)
  return modules
}

/**
 * Bundles the command. What every command loads is in one script, so that a new script that is
 * loaded on demand does not cut it into more files, each of which costs a command half a
 * millisecond.
 */
const bundleCommand = async (): Promise<Chunks> => {
  const scripts = {
    format: "cjs",
    entryFileNames: "[name].cjs",
    chunkFileNames: "[name].cjs"
  } as const
  const external = { external: SIGNALS }
  const common = modulesOf(await bundle("entry.ts", scripts, external), "commandLine.cjs")
  const groups = [{ name: "common", test: (module: string) => common.has(module) }]
  return await bundle("entry.ts", { ...scripts, codeSplitting: { groups } }, external)
}

/** Bundles the script of the live board, which a browser loads. */
const bundleBoard = async (): Promise<OutputChunk> => {
  const {
    output: [script, ...others]
  } = await build({
    input: join(board, "main.ts"),
    cwd: root,
    platform: "browser",
    // The board's own is for the type checker, and needs one that the image does not have.
    tsconfig: false,
    write: false,
    // Each browser gets a copy, which the packages' licence comments must accompany.
    output: { format: "esm", minify: true, comments: { legal: true } }
  })
  if (others.length > 0) throw new Error("the board is more than one script")
  const unwanted = script.moduleIds.find((module) => module.includes("/effect/"))
  if (unwanted !== undefined) throw new Error(`${unwanted} is in the board`)
  return script
}

/** Returns the files of the live board, which the server sends to browsers as they are. */
const boardFiles = async (script: OutputChunk): Promise<ReadonlyArray<[string, string]>> => {
  const read = (file: string) => readFile(file, "utf8")
  const plotStyle = createRequire(import.meta.url).resolve("uplot/dist/uPlot.min.css")
  return [
    ["board.html", await read(join(board, "index.html"))],
    ["board.svg", await read(join(board, "board.svg"))],
    ["board.css", `${await read(plotStyle)}\n${await read(join(board, "board.css"))}`],
    ["board.js", script.code]
  ]
}

const PACKAGE_FOLDER = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/
const LICENCE = /^(licen[cs]e|notice|copying|copyright)/i

/** Returns a package's licence texts, which must accompany every copy of its code. */
const noticeOf = async (folder: string): Promise<string> => {
  const { license, name, version } = JSON.parse(
    await readFile(join(folder, "package.json"), "utf8")
  )
  const files = (await readdir(folder)).filter((file) => LICENCE.test(file)).sort()
  if (files.length === 0) throw new Error(`${name} has no file with its licence`)
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")))
  return [`${name} ${version} (${license})`, ...texts.map((text) => text.trim())].join("\n\n")
}

const noticesOf = async (chunks: ReadonlyArray<OutputChunk>): Promise<string> => {
  const modules = chunks.flatMap(({ moduleIds }) => moduleIds)
  const folders = new Set(modules.flatMap((module) => PACKAGE_FOLDER.exec(module) ?? []))
  const notices = await Promise.all([...folders].sort().map(noticeOf))
  const title = "lottery contains parts of these packages, each under the licence that follows it."
  return `${[title, ...notices].join(`\n\n${"-".repeat(80)}\n\n`)}\n`
}

/** Escapes non-ASCII characters: a single one makes V8 store the whole text as two-byte units. */
const toAscii = (code: string): string => {
  if (/\\[^\0-\x7f]/.test(code)) throw new Error("a backslash before a non-ASCII character")
  return code.replace(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
}

/** Wraps code in a function that `CompiledCommand.ts` calls. */
const toScript = (code: string): string =>
  `(function (exports, require, __filename) {${toAscii(code)}\n})\n`

/** Writes the files and, if it can be recorded, V8's compiled code of the scripts. */
const writeCommand = async (to: string, files: ReadonlyMap<string, string>): Promise<void> => {
  await mkdir(to)
  for (const [name, code] of files) await writeFile(join(to, name), code)
  const [{ code }] = await bundle("record.ts", { format: "esm" })
  const recorder = join(to, "record.mjs")
  await writeFile(recorder, code)
  const options = { env: { PATH: process.env.PATH }, timeout: 30_000 }
  try {
    for (const args of [["--help"], ["demo", "--clients", "1", "--bets", "1000"]]) {
      await promisify(execFile)(process.execPath, [recorder, ...args], options)
    }
  } catch (error) {
    console.warn(`no compiled code, scripts will be compiled at each start: ${error}`)
  }
  await rm(recorder)
}

/** Makes a file or a folder in `dist` under a temporary name, then renames it. */
const put = async (name: string, make: (path: string) => Promise<void>): Promise<void> => {
  const temporary = join(dist, `.${name}.${process.pid}.${crypto.randomUUID()}`)
  try {
    await make(temporary)
    await rename(temporary, join(dist, name))
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

const putFile = (name: string, content: string, mode: number): Promise<void> =>
  put(name, async (path) => {
    await writeFile(path, content)
    await chmod(path, mode)
  })

/** Removes old folders except the newest one, from which a running command may still load. */
const removeOthers = async (name: string): Promise<void> => {
  const names = (await readdir(dist)).filter((one) => one.startsWith("command-") && one !== name)
  const folders = names.map(async (one) => ({ one, ...(await stat(join(dist, one))) }))
  const [, ...unused] = (await Promise.all(folders)).sort((a, b) => b.mtimeMs - a.mtimeMs)
  for (const { one } of unused) await rm(join(dist, one), { recursive: true, force: true })
}

await mkdir(dist, { recursive: true })
const chunks = await bundleCommand()
const [worker] = await bundle("worker.ts", { format: "esm" })
const files = new Map(chunks.map(({ code, fileName }) => [fileName, toScript(code)]))
files.set(WORKER, worker.code)
const boardScript = await bundleBoard()
for (const [file, content] of await boardFiles(boardScript)) files.set(file, content)
const hash = createHash("sha256")
  .update(process.version)
  .update(JSON.stringify([...files]))
const name = `command-${hash.digest("hex").slice(0, 16)}`
const isThere = async () => (await readdir(dist)).includes(name)
if (!(await isThere())) {
  await put(name, (path) => writeCommand(path, files)).catch(async (error) => {
    // A concurrent build may have created it meanwhile.
    if (!(await isThere())) throw error
  })
}
// Node starts a CommonJS module about 8 ms faster than an ES module.
const define = { COMMAND_FOLDER: JSON.stringify(name) }
const [main] = await bundle("main.ts", { format: "cjs" }, { define })
await putFile("THIRD-PARTY-NOTICES", await noticesOf([...chunks, worker, boardScript, main]), 0o644)
// Packs only this build, whatever earlier builds left in `dist`.
await putFile(".npmignore", `/*\n!/${name}/\n!/lottery.cjs\n!/THIRD-PARTY-NOTICES\n`, 0o644)
await putFile("lottery.cjs", `#!/usr/bin/env node\n${main.code}`, 0o755)
await removeOthers(name)
