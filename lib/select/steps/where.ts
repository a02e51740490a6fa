import { type Condition, checkCondition, columnsIn, compileCondition } from '../condition.js'
import type { StepKind } from '../step.js'

/** Keeps rows whose columns are as the condition says. The reason of a rejection is the key that does not hold. */
export const where: StepKind<Condition> = {
  columns: columnsIn,
  check: checkCondition,
  describe: (condition) => Object.keys(condition).join(', '),
  open(condition) {
    const check = compileCondition(condition)
    return {
      apply(portion) {
        return portion.map((candidate) => {
          const failure = check(candidate.columns)
          return failure ? { rejected: { reason: failure.key, detail: failure.found } } : { kept: candidate }
        })
      },
    }
  },
}
