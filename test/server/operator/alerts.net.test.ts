/**
 * Goal: the alerts of docs/alerts.yaml fire if they should, and only then. Method: Prometheus' own
 * tool runs alerts.test.yaml, which has both cases for each rule.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { ROOT } from "../../support/Documents.ts"
import { describePrometheus, promtool } from "../../support/processes/Prometheus.ts"

const RULES = join(ROOT, "docs", "alerts.yaml")
const CASES = join(import.meta.dirname, "alerts.test.yaml")

describePrometheus("the alerting rules", () => {
  it("are valid", () => {
    const { code, output } = promtool(["check", "rules", RULES])
    expect(code, output).toBe(0)
  })

  it("pass their tests", () => {
    const { code, output } = promtool(["test", "rules", CASES])
    expect(code, output).toBe(0)
  })
})

const cases = readFileSync(CASES, "utf8")
const rules = [...readFileSync(RULES, "utf8").matchAll(/- alert: (\w+)/g)].map(([, name]) => name!)

it.each(rules)("%s has a case in which it fires, and one in which it does not", (rule) => {
  const isOf = `expr: .*"${rule}".*\\n +eval_time: \\w+\\n +exp_samples:`
  expect(cases).toMatch(new RegExp(`${isOf} \\[\\]`))
  expect(cases).toMatch(new RegExp(`${isOf}\\n`))
})
