import { resolveRun } from '../../train/resolveRun.js'
import { sft as sftApi } from '../../train/sft.js'
import type { InputPlace, StepKind } from './stepKind.js'

export const sft: StepKind = {
  takesFile: true,
  place: ['output'],
  outputFile: undefined,
  settings: [],
  // The number of threads and processes decides in which order numbers are added.
  free: ['memory', 'heartbeatTimeout', 'hosts', 'slurm'].map((name) => ['launcher', name]),
  earlierWork: 'none',
  open(document) {
    const { model, data } = resolveRun(document)
    const inputs: InputPlace[] = [
      { path: model, kind: 'model' },
      ...data.sources.flatMap(({ paths }) => paths.map((path): InputPlace => ({ path, kind: 'files' }))),
      ...(data.tokenizer === undefined ? [] : [{ path: data.tokenizer, kind: 'model' as const }]),
      ...(data.template.endsWith('.jinja') ? [{ path: data.template, kind: 'files' as const }] : []),
    ]
    return {
      inputs,
      run: ({ signal, onProgress }) =>
        sftApi(document, { resume: true, signal, onProgress: (progress) => onProgress({ of: 'sft', progress }) }),
    }
  },
}
