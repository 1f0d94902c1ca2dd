import { defineConfig } from "vitest/config"

const TIMEOUT_MILLIS = process.env.LOTTERY_TEST_LONG ? 300_000 : 30_000

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/processes/buildCommand.ts"],
    testTimeout: TIMEOUT_MILLIS,
    hookTimeout: TIMEOUT_MILLIS,
    maxWorkers: 2,
    // Files that share a worker share what they import, which takes longer than many of them; none
    // leaves anything behind that another one would see.
    isolate: false
  }
})
