import { merge as mergeApi } from '../../merge/merge.js'
import { type MergeOptions, resolveMergeRequest } from '../../merge/plan/mergeRequest.js'
import { plan } from '../../plan.js'
import type { StepKind } from './stepKind.js'

export const merge: StepKind = {
  takesFile: true,
  place: ['output', 'path'],
  outputFile: undefined,
  settings: ['threads', 'memory', 'device'],
  free: [],
  earlierWork: 'none',
  open(document, output, settings) {
    const options: MergeOptions = { ...settings, out: output }
    const { recipe } = resolveMergeRequest(document, options)
    return {
      inputs: recipe.models.map(({ path }) => ({ path, kind: 'model' })),
      run: ({ signal, onProgress }) =>
        mergeApi(document, {
          ...options,
          resume: true,
          signal,
          onProgress: (progress) => onProgress({ of: 'merge', progress }),
          onDownload: (progress) => onProgress({ of: 'download', progress }),
        }),
      estimate: async () => {
        const { bytesToRead, bytesToWrite, memoryBytes, diskBytes } = await plan.merge(document, {
          ...options,
          overwrite: true,
        })
        return { bytesToRead, bytesToWrite, memoryBytes, diskBytes }
      },
    }
  },
}
