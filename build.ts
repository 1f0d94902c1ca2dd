/**
 * Builds the command line into what is shipped: `dist/lottery.cjs`, which is started, a folder of
 * what it loads, and the notices of the packages that are in it. The folder is named after its
 * content and there as a whole before the file is, so that builds may run at the same time and
 * nobody runs half of one.
 */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { type OutputChunk, type OutputOptions, rolldown } from "rolldown"
import { WORKER } from "./src/cli/process/CompiledCommand.ts"

const root = import.meta.dirname
const dist = join(root, "dist")
const sources = join(root, "src", "cli", "process")

// Large parts of the libraries which nothing here needs; an index file of theirs brings them in.
const UNWANTED = /node_modules\/(undici|ws|ioredis|redis)\//

const checkChunk = ({ imports, moduleIds }: OutputChunk, others: ReadonlyArray<string>): void => {
  for (const name of imports) {
    if (!name.startsWith("node:") && !others.includes(name)) {
      throw new Error(`${name} is not in the bundle`)
    }
  }
  const unwanted = moduleIds.find((module) => UNWANTED.test(module))
  if (unwanted !== undefined) throw new Error(`${unwanted} is in the bundle`)
}

/** Bundles `input`, with all that it imports but Node's modules and `external`. */
const bundle = async (
  input: string,
  options: OutputOptions,
  {
    define = {},
    external = []
  }: { define?: Record<string, string> | undefined; external?: string[] } = {}
): Promise<ReadonlyArray<OutputChunk>> => {
  const build = await rolldown({
    input: join(sources, input),
    cwd: root,
    platform: "node",
    external: (id) => external.some((file) => id.endsWith(file)),
    transform: {
      // A library asks for the first, and Node has none.
      define: { "import.meta.env": "undefined", ...define },
      inject: { "Intl.Segmenter": [join(sources, "LazySegmenter.ts"), "LazySegmenter"] }
    }
  })
  try {
    // Not minified: that costs readable stack traces.
    const { output } = await build.generate({ ...options, comments: false })
    const chunks = output.filter((file) => file.type === "chunk")
    const others = [...chunks.map(({ fileName }) => fileName), ...external]
    for (const chunk of chunks) checkChunk(chunk, others)
    return chunks
  } finally {
    await build.close()
  }
}

const bundleFile = async (
  input: string,
  format: "esm" | "cjs",
  define?: Record<string, string>
): Promise<OutputChunk> => {
  const [chunk] = await bundle(input, { format, codeSplitting: false }, { define })
  return chunk!
}

/** The folder of a package, of its module's file. */
const PACKAGE = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/
const LICENCE = /^(licen[cs]e|notice|copying|copyright)/i

/** What a package asks to be told of it wherever it is a part of something. */
const noticeOf = async (folder: string): Promise<string> => {
  const { license, name, version } = JSON.parse(
    await readFile(join(folder, "package.json"), "utf8")
  )
  const files = (await readdir(folder)).filter((file) => LICENCE.test(file)).sort()
  if (files.length === 0) throw new Error(`${name} has no file with its licence`)
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")))
  return [`${name} ${version} (${license})`, ...texts.map((text) => text.trim())].join("\n\n")
}

/** The notices of every package of which a module is in one of the bundles. */
const noticesOf = async (chunks: ReadonlyArray<OutputChunk>): Promise<string> => {
  const modules = chunks.flatMap(({ moduleIds }) => moduleIds)
  const folders = new Set(modules.flatMap((module) => PACKAGE.exec(module) ?? []))
  const notices = await Promise.all([...folders].sort().map(noticeOf))
  const title = "lottery contains parts of these packages, each under the licence that follows it."
  return `${[title, ...notices].join(`\n\n${"-".repeat(80)}\n\n`)}\n`
}

/** In ASCII: with one character that is not, each would take two bytes in memory. */
const toAscii = (code: string): string => {
  if (/\\[^\0-\x7f]/.test(code)) throw new Error("a backslash before what is not ASCII")
  return code.replace(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
}

/** As a function of what `CompiledCommand.ts` gives it. */
const toScript = (code: string): string =>
  `(function (exports, require, __filename) {${toAscii(code)}\n})\n`

/** Writes these files, and what V8 compiles of the scripts where it can be recorded. */
const writeCommand = async (to: string, files: ReadonlyMap<string, string>): Promise<void> => {
  const recorder = join(to, "record.mjs")
  await mkdir(to)
  await writeFile(recorder, (await bundleFile("record.ts", "esm")).code)
  for (const [name, code] of files) await writeFile(join(to, name), code)
  const run = promisify(execFile)
  const options = { env: { PATH: process.env.PATH }, timeout: 30_000 }
  try {
    for (const args of [["--help"], ["demo", "--clients", "1", "--bets", "1000"]]) {
      await run(process.execPath, [recorder, ...args], options)
    }
  } catch (error) {
    console.warn(`left to be compiled at each start: ${error}`)
  }
  await rm(recorder)
}

const unique = (name: string): string =>
  join(dist, `.${name}.${process.pid}.${crypto.randomUUID()}`)

/** Moves there what is finished; a folder that is there already is the same. */
const put = async (temporary: string, name: string): Promise<void> => {
  try {
    await rename(temporary, join(dist, name))
  } catch (error) {
    if (!(await readdir(dist)).includes(name)) throw error
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

/** Removes what is out of use: all but the folder that is replaced, which some may still load. */
const removeOthers = async (name: string): Promise<void> => {
  const others = (await readdir(dist)).filter((other) => other.startsWith("command-"))
  const built = await Promise.all(
    others
      .filter((other) => other !== name)
      .map(async (other) => ({ other, millis: (await stat(join(dist, other))).mtimeMs }))
  )
  const [, ...unused] = built.sort((one, another) => another.millis - one.millis)
  for (const { other } of unused) await rm(join(dist, other), { recursive: true, force: true })
}

/** Puts a file into `dist`, as a whole. */
const putFile = async (name: string, content: string, mode: number): Promise<void> => {
  const file = unique(name)
  await writeFile(file, content)
  await chmod(file, mode)
  await put(file, name)
}

await mkdir(dist, { recursive: true })
const chunks = await bundle(
  "command.ts",
  { format: "cjs", entryFileNames: "[name].cjs", chunkFileNames: "[name].cjs" },
  { external: ["Signals.ts"] }
)
const worker = await bundleFile("worker.ts", "esm")
const files = new Map(chunks.map(({ code, fileName }) => [fileName, toScript(code)]))
files.set(WORKER, worker.code)
const hash = createHash("sha256")
  .update(process.version)
  .update(JSON.stringify([...files]))
const name = `command-${hash.digest("hex").slice(0, 16)}`
if (!(await readdir(dist)).includes(name)) {
  const temporary = unique(name)
  await writeCommand(temporary, files)
  await put(temporary, name)
}
// Node starts a CommonJS module some 8 ms sooner than any other.
const main = await bundleFile("main.ts", "cjs", { COMMAND_FOLDER: JSON.stringify(name) })
await putFile("THIRD-PARTY-NOTICES", await noticesOf([...chunks, worker, main]), 0o644)
// Only what is loaded is packed, whatever else earlier builds left here.
await putFile(".npmignore", `/*\n!/${name}/\n!/lottery.cjs\n!/THIRD-PARTY-NOTICES\n`, 0o644)
await putFile("lottery.cjs", `#!/usr/bin/env node\n${main.code}`, 0o755)
await removeOthers(name)
