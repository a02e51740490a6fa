import { placeFromFile } from '../../hub/hubName.js'
import type { ContaminationOptions } from '../../select/contamination/contamination.js'
import { type ResolvedSelection, resolveSelection } from '../../select/run/resolveSelection.js'
import { selectData } from '../../select/run/selectData.js'
import type { InputPlace, StepKind } from './stepKind.js'

export const select: StepKind = {
  takesFile: true,
  place: undefined,
  outputFile: 'data.jsonl',
  settings: ['limit', 'threads'],
  free: [],
  earlierWork: 'none',
  open(document, output, { limit, threads }) {
    return {
      inputs: inputsOf(resolveSelection(document)),
      // What is there is of a run that was cut off: it is not gone on with, but done again.
      run: ({ signal, onProgress }) =>
        selectData(document, {
          out: output,
          overwrite: true,
          limit,
          threads,
          signal,
          onProgress: (progress) => onProgress({ of: 'select', progress }),
        }),
    }
  },
}

function inputsOf({ sources, steps, tokenizer, directory }: ResolvedSelection): InputPlace[] {
  const rows = sources.flatMap(({ paths, parts }) => [...paths, ...parts.flatMap((part) => part.paths)])
  const benchmarks = steps.flatMap(({ kind, options }) =>
    kind === 'contamination' ? (options as ContaminationOptions).benchmarks : [],
  )
  return [
    ...[...rows, ...benchmarks.map(({ path }) => placeFromFile(path, directory, 'dataset'))].map(
      (path): InputPlace => ({ path, kind: 'files' }),
    ),
    ...(tokenizer === undefined ? [] : [{ path: tokenizer, kind: 'model' as const }]),
  ]
}
