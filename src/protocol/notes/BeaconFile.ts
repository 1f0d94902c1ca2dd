/** A round as drand publishes it: JSON, version 1 or 2. */
import { Result, Schema } from "effect"
import { Round } from "../../domain/Draw.ts"
import { type Beacon, randomnessOf } from "../../domain/seal/Quicknet.ts"

/** The most characters of a round; drand's have a few hundred. */
const MAX_LENGTH = 10_000

const Published = Schema.Struct({
  round: Round,
  signature: Schema.String.check(
    Schema.isPattern(/^[0-9a-f]{96}$/, { message: "expected a signature of 96 digits of 0-9a-f" })
  ),
  randomness: Schema.optionalKey(Schema.String)
})

const EXPECTED = 'expected a drand round in JSON, such as {"round":1000,"signature":"b446…"}'

const decode = Schema.decodeResult(Schema.fromJsonString(Published))

/**
 * Decodes the JSON. Other keys are ignored, and `randomness`, if it is there, must agree with the
 * signature. Does not check the signature.
 */
export const parseBeacon = (json: string): Result.Result<Beacon, string> => {
  if (json.length > MAX_LENGTH) {
    return Result.fail(`${EXPECTED}, at most ${MAX_LENGTH} characters`)
  }
  return Result.flatMap(
    Result.mapError(
      decode(json),
      ({ message }) => `${EXPECTED}: ${message.replace(/\s*\n\s*/g, " ")}`
    ),
    ({ randomness, round, signature }) => {
      const expected = randomnessOf(signature)
      return randomness === undefined || randomness === expected
        ? Result.succeed({ round, signature })
        : Result.fail(`expected randomness ${expected}, the SHA-256 of the signature`)
    }
  )
}
