import { BranchMergeError } from '../../errors.js'
import { evaluate as evaluateApi } from '../../evaluate/evaluate.js'
import { resolveEvaluation } from '../../evaluate/resolveEvaluation.js'
import { modelInputs } from './modelInputs.js'
import type { InputPlace, StepKind } from './stepKind.js'

export const evaluate: StepKind = {
  takesFile: true,
  place: ['out'],
  outputFile: undefined,
  settings: [],
  free: [],
  earlierWork: 'sameFiles',
  open(document) {
    const { models, benchmarks } = resolveEvaluation(document)
    return {
      inputs: [
        ...models.flatMap(({ spec }) => modelInputs(spec)),
        ...benchmarks.flatMap(({ spec: { path, options = {} } }): InputPlace[] =>
          [path, options['cotPrompts']].flatMap((each) =>
            typeof each === 'string' ? [{ path: each, kind: 'files' as const }] : [],
          ),
        ),
      ],
      async run({ signal, onProgress }) {
        const summary = await evaluateApi(document, {
          resume: true,
          signal,
          onProgress: (progress) => onProgress({ of: 'evaluate', progress }),
        })
        const { failed, wanted, failures } = summary
        if (failed === 0) return summary
        const reasons = Object.entries(failures).map(([model, reason]) => `\n${model}: ${reason}`)
        const message = `${failed} of ${wanted} answers did not come; --resume asks for them again.${reasons.join('')}`
        throw new BranchMergeError('ERR_ENGINE', message)
      },
    }
  },
}
