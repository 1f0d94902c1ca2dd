import { defineConfig } from "vitest/config"

// Messages show times in the machine's time zone.
process.env.TZ = "UTC"

const TIMEOUT_MILLIS = process.env.LOTTERY_TEST_LONG ? 300_000 : 30_000

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/processes/buildCommand.ts"],
    testTimeout: TIMEOUT_MILLIS,
    hookTimeout: TIMEOUT_MILLIS,
    maxWorkers: 2,
    // Test files share a worker and its imports, which take longer than many of the tests. No file
    // leaves state behind that another one could see.
    isolate: false
  }
})
