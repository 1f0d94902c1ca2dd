/**
 * Bundles the command line into the one file that is shipped, `dist/lottery.js`. It is written
 * under a name of its own and renamed at the end, so that builds may run at the same time and
 * nobody runs half a file.
 */
import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises"
import { basename, join } from "node:path"
import { deflateRawSync } from "node:zlib"
import { type Plugin, rolldown } from "rolldown"

const root = import.meta.dirname
const folder = join(root, "dist")

// An older Node must get as far as the line that says which one is needed: what it does not have
// may be asked for with `process.getBuiltinModule`, but not imported at the top of the file.
const STATIC_IMPORT = /^import .*from "(.+)";$/gm
const NOT_IN_OLDER_NODE = new Set(["node:sqlite", "node:test"])
// Large parts of the libraries which nothing here needs; an index file of theirs brings them in.
const UNWANTED = /node_modules\/(undici|ws|ioredis|redis)\//

const checkBundle = (code: string, modules: ReadonlyArray<string>): void => {
  for (const [, name] of code.matchAll(STATIC_IMPORT)) {
    if (NOT_IN_OLDER_NODE.has(name!)) throw new Error(`${name} is imported statically`)
    if (!name!.startsWith("node:")) throw new Error(`${name} is not in the bundle`)
  }
  const unwanted = modules.find((module) => UNWANTED.test(module))
  if (unwanted !== undefined) throw new Error(`${unwanted} is in the bundle`)
}

/**
 * Puts a file of ours and the libraries behind it into the bundle as compressed text, compiled when
 * the file is imported: even code that never runs would have to be parsed, for some 25 ms.
 */
const asText = (file: string): Plugin => ({
  name: "as-text",
  load: {
    filter: { id: file },
    handler: async () => {
      const build = await rolldown({ input: file, cwd: root, platform: "node" })
      try {
        const { output } = await build.generate({ format: "cjs" })
        const { code, exports, imports, moduleIds } = output[0]
        if (imports.length > 0) throw new Error(`${file} would import ${imports}`)
        checkBundle(code, moduleIds)
        const text = deflateRawSync(code).toString("base64")
        const options = { filename: basename(file) }
        return [
          'const { compileFunction } = process.getBuiltinModule("node:vm")',
          'const { inflateRawSync } = process.getBuiltinModule("node:zlib")',
          `const code = String(inflateRawSync(Buffer.from("${text}", "base64")))`,
          "const exports = {}",
          `compileFunction(code, ["exports"], ${JSON.stringify(options)})(exports)`,
          `export const { ${exports.join(", ")} } = exports`
        ].join("\n")
      } finally {
        await build.close()
      }
    }
  }
})

const bundle = async (): Promise<string> => {
  const build = await rolldown({
    input: join(root, "src", "cli", "main.ts"),
    cwd: root,
    platform: "node",
    plugins: [asText(join(root, "src", "cli", "X509.ts"))]
  })
  try {
    // Not minified: that saves some 15 ms of 150 at the start, and costs readable stack traces.
    const { output } = await build.generate({
      format: "esm",
      codeSplitting: false,
      banner: "#!/usr/bin/env node"
    })
    if (output.length !== 1) throw new Error(`expected one file, got ${output.length}`)
    checkBundle(output[0].code, output[0].moduleIds)
    return output[0].code
  } finally {
    await build.close()
  }
}

await mkdir(folder, { recursive: true })
const temporary = join(folder, `.lottery.${process.pid}.${crypto.randomUUID()}.js`)
try {
  await writeFile(temporary, await bundle())
  await chmod(temporary, 0o755)
  await rename(temporary, join(folder, "lottery.js"))
} finally {
  await rm(temporary, { force: true })
}
