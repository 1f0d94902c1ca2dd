/**
 * Parses the Dockerfile instructions that this project uses. All others are refused, so that the
 * tests miss nothing.
 */

export interface Copy {
  readonly kind: "COPY"
  /** The stage to copy from; undefined for the build context. */
  readonly from: string | undefined
  /** `UID:GID`. */
  readonly chown: string | undefined
  readonly sources: ReadonlyArray<string>
  readonly target: string
}

export type Instruction =
  | Copy
  | { readonly kind: "WORKDIR"; readonly path: string }
  | { readonly kind: "RUN"; readonly command: string }
  | { readonly kind: "ENV" | "LABEL"; readonly values: Readonly<Record<string, string>> }
  | { readonly kind: "EXPOSE"; readonly ports: ReadonlyArray<string> }
  | { readonly kind: "USER" | "STOPSIGNAL"; readonly value: string }
  | { readonly kind: "ENTRYPOINT"; readonly words: ReadonlyArray<string> }

export interface Stage {
  readonly base: string
  readonly name: string | undefined
  readonly instructions: ReadonlyArray<Instruction>
}

const FROM = /^FROM ([\w./:@-]+)(?: AS (\w+))?$/
const PAIRS = /^(?:[\w.]+=(?:"[^"\\$]*"|[^\s"'\\$]+)(?:\s+|$))+$/
const PAIR = /([\w.]+)=(?:"([^"]*)"|(\S+))/g
const COPY = /^(?:--from=(?<from>\w+) )?(?:--chown=(?<chown>\d+:\d+) )?(?<paths>[\w./ -]+)$/

const refuse = (line: string): never => {
  throw new Error(`Dockerfile: the tests do not support this instruction: ${line}`)
}

const instruction = (line: string): Instruction => {
  const [, kind, rest] = /^([A-Z]+)\s+(.+)$/.exec(line) ?? refuse(line)
  const matching = (pattern: RegExp): string => (pattern.test(rest!) ? rest! : refuse(line))
  switch (kind) {
    case "WORKDIR":
      return { kind, path: matching(/^\/[\w./]*$/) }
    case "RUN":
      return { kind, command: matching(/^[^-[<][^<]*$/) }
    case "COPY": {
      const { chown, from, paths } = COPY.exec(rest!)?.groups ?? refuse(line)
      const words = paths!.split(" ")
      if (words.length < 2 || words.some((word) => !/^[\w./]/.test(word))) refuse(line)
      return { kind, from, chown, sources: words.slice(0, -1), target: words.at(-1)! }
    }
    case "ENV":
    case "LABEL": {
      const pairs = [...matching(PAIRS).matchAll(PAIR)]
      const values = pairs.map(([, key, quoted, plain]) => [key!, quoted ?? plain!])
      return { kind, values: Object.fromEntries(values) }
    }
    case "EXPOSE":
      return { kind, ports: matching(/^\d+( \d+)*$/).split(" ") }
    case "USER":
    case "STOPSIGNAL":
      return { kind, value: matching(/^[\w:]+$/) }
    case "ENTRYPOINT":
      // Without brackets, a shell would be process 1.
      return { kind, words: JSON.parse(matching(/^\["[^"\\]+"(, "[^"\\]+")*\]$/)) }
    default:
      return refuse(line)
  }
}

/** Returns the stages in order; the last one is the image. */
export const parse = (text: string): ReadonlyArray<Stage> => {
  // Parser directives look like comments but change how the rest is parsed.
  const directive = /^#\s*\w+\s*=.*/.exec(text)
  if (directive !== null) refuse(directive[0])
  const lines = text
    .replace(/^\s*#.*\n/gm, "")
    .replace(/\\\n\s*/g, "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
  const stages: Array<Stage & { instructions: Array<Instruction> }> = []
  for (const line of lines) {
    if (line.startsWith("FROM")) {
      const [, base, name] = FROM.exec(line) ?? refuse(line)
      stages.push({ base: base!, name, instructions: [] })
    } else {
      const stage = stages.at(-1) ?? refuse(line)
      stage.instructions.push(instruction(line))
    }
  }
  return stages
}
