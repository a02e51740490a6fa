import type { Checkpoint } from '../checkpoint/openCheckpoint.js'
import { formatCount, formatShape, formatTable, printable } from '../text/format.js'
import { formatBytes } from '../text/formatUnits.js'

/** What `inspect --json` prints. */
export function checkpointRecord({ layout, files, tensors, parameters, bytes, problems }: Checkpoint) {
  const tensorCounts = files.map(() => 0)
  for (const { file } of tensors) tensorCounts[file] = (tensorCounts[file] ?? 0) + 1
  return {
    layout,
    parameters,
    bytes,
    dtypes: countDtypes(tensors),
    files: files.map((file, i) => ({
      name: file.name,
      bytes: file.bytes,
      tensors: tensorCounts[i] as number,
      headerHash: file.headerHash,
      metadata: Object.fromEntries(file.metadata),
    })),
    tensors: tensors.map(({ name, dtype, shape, elements, bytes, file }) => ({
      name,
      dtype,
      shape,
      elements,
      bytes,
      file: files[file]?.name,
    })),
    problems,
  }
}

/** A checkpoint as people read it: every tensor, then the files and totals. */
export function checkpointText(checkpoint: Checkpoint): string {
  const { files, parameters, bytes, problems } = checkpointRecord(checkpoint)
  const { tensors } = checkpoint
  const sharded = files.length > 1
  const tensorRows = tensors.map((tensor) => [
    printable(tensor.name),
    tensor.dtype,
    formatShape(tensor.shape),
    formatBytes(tensor.bytes),
    ...(sharded ? [printable(files[tensor.file]?.name ?? '')] : []),
  ])
  const fileRows = files.map((file) => [printable(file.name), `${file.tensors} tensors`, formatBytes(file.bytes)])
  const dtypes = Object.entries(countDtypes(tensors)).map(([dtype, count]) => `${count} ${dtype}`)
  const total = `${tensors.length} tensors (${dtypes.join(', ')}), ${formatCount(parameters)} parameters, ${formatBytes(bytes)}`
  const sections = [
    formatTable([['tensor', 'dtype', 'shape', 'size', ...(sharded ? ['file'] : [])], ...tensorRows], [3]),
    formatTable(fileRows, [1, 2]),
    total,
    problems.map((problem) => `Problem: ${printable(problem)}`).join('\n'),
  ]
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`
}

/** How many tensors have each dtype, most frequent first. */
function countDtypes(tensors: readonly { dtype: string }[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const { dtype } of tensors) counts.set(dtype, (counts.get(dtype) ?? 0) + 1)
  return Object.fromEntries([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)))
}
