/**
 * The parameters of a fast-check property: how often it runs, and the seed that LOTTERY_TEST_SEED
 * gives to repeat a failure, which prints it.
 */
export const propertyRuns = (runs: number, longRuns = 20 * runs) => {
  const seed = process.env.LOTTERY_TEST_SEED
  return {
    numRuns: process.env.LOTTERY_TEST_LONG ? longRuns : runs,
    ...(seed === undefined ? {} : { seed: Number(seed) })
  }
}
