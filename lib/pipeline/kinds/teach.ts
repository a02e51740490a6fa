import { BranchMergeError } from '../../errors.js'
import { resolveTeaching } from '../../teach/resolveTeaching.js'
import { teach as teachApi } from '../../teach/teach.js'
import { modelInputs } from './modelInputs.js'
import type { InputPlace, StepKind } from './stepKind.js'

export const teach: StepKind = {
  takesFile: true,
  place: ['out'],
  outputFile: 'data.jsonl',
  settings: [],
  free: [],
  earlierWork: 'always',
  open(document) {
    const { questions, teacher, tokenizer } = resolveTeaching(document)
    const inputs: InputPlace[] = [
      { path: questions, kind: 'files' },
      ...(teacher.spec ? modelInputs(teacher.spec) : []),
      ...(tokenizer === undefined ? [] : [{ path: tokenizer, kind: 'model' as const }]),
    ]
    return {
      inputs,
      async run({ signal, onProgress }) {
        const summary = await teachApi(document, {
          resume: true,
          signal,
          onProgress: (progress) => onProgress({ of: 'teach', progress }),
        })
        const { failed, failure } = summary
        if (failed === 0) return summary
        const what = failed === 1 ? '1 answer' : `${failed} answers`
        throw new BranchMergeError('ERR_ENGINE', `${what} did not come; --resume asks for them again.\n${failure}`)
      },
    }
  },
}
