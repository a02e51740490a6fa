import type { CheckpointTensor } from '../../checkpoint/openCheckpoint.js'
import { native } from '../../native/native.js'
import { runJob } from '../../native/runJob.js'
import type { MergePlan, PlannedModel } from '../plan/mergePlan.js'
import { type InputState, inputState, isSameState } from './inputStates.js'

/** A tensor and the hashes of its bytes in each model, as they were merged. */
export interface MergedContent {
  name: string
  modelHashes: readonly string[]
}

/** Of one call to the native side: it reports and stops between calls. */
const bytesPerCall = 256 * 2 ** 20

/** Hashes of tensors that were read before, for one who compares many merges of the same files. */
export class KnownHashes {
  private readonly files = new Map<string, { state: InputState; hashes: Map<string, string> }>()

  get(path: string, state: InputState | undefined, tensor: CheckpointTensor): string | undefined {
    const file = this.files.get(path)
    return file && isSameState(file.state, state) ? file.hashes.get(keyOf(tensor)) : undefined
  }

  set(path: string, state: InputState | undefined, tensor: CheckpointTensor, hash: string): void {
    if (!state) return
    const known = this.files.get(path)
    const file = known && isSameState(known.state, state) ? known : { state, hashes: new Map<string, string>() }
    file.hashes.set(keyOf(tensor), hash)
    this.files.set(path, file)
  }
}

const keyOf = ({ begin, end }: CheckpointTensor): string => `${begin} ${end}`

/**
 * Reads what is merged of the models' tensors and compares its hashes with those that an earlier merge recorded. Ends with a model at
 * the first tensor of it that differs.
 *
 * @param models - positions of the models to read
 * @returns what differs, in words, at most one text for a model
 * @throws ERR_FILE_READ; the signal's reason after an abort
 */
export async function contentDifferences(
  plan: MergePlan,
  recorded: readonly MergedContent[],
  models: readonly number[] = plan.models.map((_, i) => i),
  known = new KnownHashes(),
): Promise<string[]> {
  if (models.length === 0) return []
  const planned = new Map(plan.files.flatMap(({ tensors }) => tensors).map((tensor) => [tensor.name, tensor]))
  const pairs = recorded.flatMap((content) => {
    const tensor = planned.get(content.name)
    return tensor ? [{ content, tensor }] : []
  })
  const bytesOf = (model: number) => pairs.reduce((total, { tensor }) => total + (tensor.models[model]?.bytes ?? 0), 0)
  const total = models.reduce((sum, model) => sum + bytesOf(model), 0)
  const progress = new ContentProgress(plan, { bytesTotal: total, tensorsTotal: pairs.length * models.length })
  const differences: string[] = []
  for (const model of models) {
    const items = pairs.map(({ content, tensor }) => ({ content, tensor: tensor.models[model] as CheckpointTensor }))
    const other = await firstOther(plan, model, items, known, progress)
    if (other) differences.push(describe(plan, model, other))
  }
  return differences
}

interface Item {
  content: MergedContent
  tensor: CheckpointTensor
}

async function firstOther(
  plan: MergePlan,
  model: number,
  items: readonly Item[],
  known: KnownHashes,
  progress: ContentProgress,
): Promise<(MergedContent & { found: string }) | undefined> {
  const { checkpoint } = plan.models[model] as PlannedModel
  for (const [i, { path }] of checkpoint.files.entries()) {
    const state = await inputState(path)
    for (const call of calls(items.filter(({ tensor }) => tensor.file === i))) {
      const unread = call.filter(({ tensor }) => known.get(path, state, tensor) === undefined)
      const hashes = await hashesOf(
        path,
        unread.map(({ tensor }) => tensor),
        plan.run,
      )
      const found = new Map(unread.map(({ tensor }, j) => [tensor, hashes[j] as string]))
      for (const [tensor, hash] of found) known.set(path, state, tensor, hash)
      for (const { content, tensor } of call) {
        const hash = found.get(tensor) ?? (known.get(path, state, tensor) as string)
        if (hash !== content.modelHashes[model]) return { ...content, found: hash }
      }
      progress.add(call.map(({ tensor }) => tensor))
    }
  }
  return undefined
}

async function hashesOf(
  path: string,
  tensors: CheckpointTensor[],
  { threads, signal }: MergePlan['run'],
): Promise<string[]> {
  if (tensors.length === 0) return []
  const ranges = tensors.map(({ begin, end }): [number, number] => [begin, end])
  return await runJob(() => native.hashRanges(path, ranges, threads), signal)
}

/** In the order of the file, cut where a call has enough to do. */
function calls(items: Item[]): Item[][] {
  const groups: Item[][] = []
  let bytes = 0
  for (const item of items.toSorted((a, b) => a.tensor.begin - b.tensor.begin)) {
    if (groups.length === 0 || bytes >= bytesPerCall) {
      groups.push([])
      bytes = 0
    }
    groups.at(-1)?.push(item)
    bytes += item.tensor.bytes
  }
  return groups
}

function describe(plan: MergePlan, model: number, { name, modelHashes, found }: MergedContent & { found: string }) {
  const { label, checkpoint } = plan.models[model] as PlannedModel
  const text = `${label}, ${checkpoint.path}, has another content than what was merged, first in "${name}"`
  const as = modelHashes.indexOf(found)
  return as < 0 || as === model ? text : `${text}: it has that of ${plan.models[as]?.label}`
}

/** Tells the caller's onProgress how much of the inputs is compared. */
class ContentProgress {
  private bytesDone = 0
  private tensorsDone = 0

  constructor(
    private readonly plan: MergePlan,
    private readonly totals: { bytesTotal: number; tensorsTotal: number },
  ) {}

  add(tensors: CheckpointTensor[]): void {
    this.tensorsDone += tensors.length
    this.bytesDone += tensors.reduce((total, { bytes }) => total + bytes, 0)
    this.plan.run.onProgress?.({ bytesDone: this.bytesDone, tensorsDone: this.tensorsDone, ...this.totals })
  }
}
