/** The seal key of servers in tests, which is the operator's key of the vectors. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { showKey } from "../../src/protocol/notes/SignedNote.ts"
import { operator, operatorKey, operatorPem } from "./SealVectors.ts"

export const SEAL_NAME = operator.name
export const SEAL_VKEY = showKey(operator)
export const SEAL_PEM = operatorPem

export const sealKey = operatorKey
export const verifierKey = operator

/** Writes the key and returns the flags of a server that seals with it. */
export const sealFlags = (folder: string): ReadonlyArray<string> => {
  const file = join(folder, "seal-key.pem")
  writeFileSync(file, SEAL_PEM)
  return ["--seal-key", file, "--seal-name", SEAL_NAME]
}
