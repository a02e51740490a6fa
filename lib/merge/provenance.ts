import type { Checkpoint } from '../checkpoint/openCheckpoint.js'
import type { NativeMergedTensor, NativeTensorStats } from '../native.js'
import { version } from '../version.js'
import type { ResolvedFuseOptions } from './fuseOptions.js'
import type { OutputFile, PlannedTensor } from './planOutput.js'

/** Records in the output how it was made, see docs/provenance.md. */
export const provenanceFileName = 'branchmerge.json'

export interface ProvenanceInput {
  left: Checkpoint
  right: Checkpoint
  options: ResolvedFuseOptions
  files: OutputFile[]
  sideFiles: string[]
  /** Of every output tensor. */
  merged: Map<string, NativeMergedTensor>
  /** Names that were stored but left out, because the configuration ties them. */
  tiedWeights: string[]
}

/** Text of branchmerge.json: a function of the inputs' bytes, the options and the version, and of nothing else. */
export function provenanceText(input: ProvenanceInput): string {
  const { options, files, sideFiles, merged } = input
  const all = [...merged.values()].map(({ steps }) => steps[0] as NativeTensorStats)
  const count = (value: (stats: NativeTensorStats) => number) => all.reduce((total, each) => total + value(each), 0)
  const record = {
    format: 1,
    branchmerge: version,
    method: 'arcee-fusion',
    preset: options.preset,
    options: { ...options.fusion, dtype: options.dtype ?? null },
    inputs: { left: inputRecord(input, 'left'), right: inputRecord(input, 'right') },
    tiedWeights: input.tiedWeights,
    output: {
      files: files.map(({ name, bytes, tensors }) => ({ name, bytes, tensors: tensors.length })),
      sideFiles,
      tensors: all.length,
      parameters: count(({ elements }) => elements),
      kept: count(({ kept }) => kept),
      identical: count(({ identical }) => (identical ? 1 : 0)),
    },
  }
  return `${JSON.stringify(record, null, 2)}\n`
}

/** Files in the checkpoint's order without their names, which depend on where a checkpoint lies. */
function inputRecord({ files, merged, ...sides }: ProvenanceInput, side: 'left' | 'right'): unknown {
  const checkpoint = sides[side]
  const tensorsOf: PlannedTensor[][] = checkpoint.files.map(() => [])
  for (const tensor of files.flatMap((file) => file.tensors)) tensorsOf[tensor[side].file]?.push(tensor)
  return {
    files: checkpoint.files.map(({ headerHash, bytes }, i) => ({
      headerHash,
      bytes,
      tensors: hashes(tensorsOf[i] as PlannedTensor[], merged, side),
    })),
  }
}

function hashes(tensors: PlannedTensor[], merged: Map<string, NativeMergedTensor>, side: 'left' | 'right'): unknown {
  const inFileOrder = tensors.sort((a, b) => a[side].begin - b[side].begin || a[side].end - b[side].end)
  return Object.fromEntries(
    inFileOrder.map(({ name }) => [name, merged.get(name)?.modelHashes[side === 'left' ? 0 : 1]]),
  )
}

/** `__metadata__` of every output file: short, and like the provenance file free of time and place. */
export function fileMetadata({ preset, overrides }: ResolvedFuseOptions): [key: string, value: string][] {
  const changed = Object.entries(overrides).map(([name, value]) => ` ${name}=${value}`)
  return [
    ['format', 'pt'],
    ['branchmerge', version],
    ['branchmerge.fusion', `${preset}${changed.join('')}`],
  ]
}
