import { stat } from 'node:fs/promises'
import { type MergedTensorStats, stepStats } from '../../fusion/tensorStats.js'
import {
  type NativeMergedTensor,
  type NativeMergePlan,
  type NativeMergeTotals,
  type NativeWritten,
  native,
} from '../../native/native.js'
import { runJob } from '../../native/runJob.js'
import { statesOf } from '../output/inputStates.js'
import { type JournalRecord, MergeJournal } from '../output/journal.js'
import { describePlan } from '../output/mergeDescription.js'
import type { MergedTensor, MergeOutcome } from '../output/mergeOutcome.js'
import type { MergePlan } from '../plan/mergePlan.js'
import type { PlannedTensor } from '../plan/planOutput.js'
import { interleavePlans, nativePlan, type TemporaryPlaces } from './nativePlan.js'
import { commonOrder, type Layout, mostFilesAtOnce } from './tensorOrder.js'

/** A merge on its way: where its unfinished files and their journal are, and what an earlier run left of them. */
export interface PassMember {
  plan: MergePlan
  output: TemporaryPlaces & { readonly journalPath: string; readonly resumed: JournalRecord | undefined }
  /** Of the merge, in the journal. */
  fingerprint: string
}

/** An output that is begun and not finished holds a block of this size (native/io/output_writer.h). */
export const outputBlockBytes = 2 ** 20

/** Names of the tensors of each file of the plan. */
export const layoutOf = ({ files }: MergePlan): Layout => files.map(({ tensors }) => tensors.map(({ name }) => name))

/**
 * One pass over the inputs that merges the tensors of one plan, or of several that read the same inputs, but those that an
 * earlier run left.
 */
export class MergePass {
  private readonly shares: PassShare[]
  /** Position of the member to which each output belongs. */
  private readonly owners: number[]
  private failed: number | undefined

  /** The members' layouts must have an order in common ({@link commonOrder}). */
  constructor(private readonly members: readonly PassMember[]) {
    this.shares = members.map((member) => new PassShare(member))
    this.owners = members.flatMap(({ plan }, i) => plan.files.map(() => i))
  }

  /**
   * @returns an outcome for each member. What was read for all is counted in the first one's totals.
   * @throws BranchMergeError; the signal's reason after an abort. Then the journals tell what was done.
   */
  async run(instructionSet: string | undefined): Promise<MergeOutcome[]> {
    const plan = this.plan(instructionSet)
    const { run } = (this.members[0] as PassMember).plan
    for (const share of this.shares) await share.open()
    const totals = await runJob((guard) => {
      const onTensor = guard((tensor: NativeMergedTensor) => {
        const [share, output] = this.ownerOf(tensor.output)
        share.addTensor({ ...tensor, output })
      })
      const onWritten = guard(({ output: position, bytes }: NativeWritten) => {
        const [share, output] = this.ownerOf(position)
        share.addWritten({ output, bytes })
      })
      const onFailure = guard((output: number) => {
        this.failed ??= this.owners[output]
      })
      return native.mergeCheckpoints(plan, guard(run.onProgress), onTensor, onWritten, onFailure)
    }, run.signal).finally(() => {
      for (const share of this.shares) share.close()
    })
    return await Promise.all(
      this.shares.map((share, i) => share.outcome({ ...totals, ...(i > 0 ? { bytesRead: 0 } : {}) })),
    )
  }

  /** After a failure, the position of the member whose tensor it was; 0 where it was none's. */
  get suspect(): number {
    return this.failed ?? 0
  }

  private plan(instructionSet: string | undefined): NativeMergePlan {
    const layouts = this.members.map(({ plan }) => layoutOf(plan))
    const order = commonOrder(layouts) as string[]
    const plan = interleavePlans(
      this.shares.map((share) => share.plan(instructionSet)),
      order,
    )
    const blocks = Math.max(0, mostFilesAtOnce(layouts, order) - 1) * outputBlockBytes
    return this.members.length === 1 ? plan : { ...plan, memory: Math.max(0, plan.memory - blocks) }
  }

  /** The share that an output of the pass belongs to, and the output's position there. */
  private ownerOf(output: number): [share: PassShare, position: number] {
    const owner = this.owners[output] as number
    return [this.shares[owner] as PassShare, output - this.owners.indexOf(owner)]
  }
}

/** What one member has of a pass. */
class PassShare {
  private readonly planned: Map<string, PlannedTensor>
  private readonly merged = new Map<string, MergedTensor>()
  private readonly resumed: JournalRecord | undefined
  private journal: MergeJournal | undefined

  constructor(private readonly member: PassMember) {
    const { plan, output } = member
    this.planned = new Map(plan.files.flatMap(({ tensors }) => tensors).map((tensor) => [tensor.name, tensor]))
    this.resumed = output.resumed
    for (const tensor of this.resumed?.merged ?? []) {
      if (this.resumed?.written[tensor.output]) this.merged.set(tensor.name, this.described(tensor))
    }
  }

  /** For what an earlier run did not finish. */
  plan(instructionSet: string | undefined): NativeMergePlan {
    const plan = nativePlan(this.member.plan, instructionSet, this.member.output)
    const { resumed, merged } = this
    if (!resumed) return plan
    return {
      ...plan,
      outputs: plan.outputs.map((output, i) => ({ ...output, written: resumed.written[i] ?? 0 })),
      tensors: plan.tensors.map((tensor) => ({ ...tensor, done: merged.has(tensor.name) })),
    }
  }

  /** Begins or goes on with the journal beside the unfinished files. */
  async open(): Promise<void> {
    const { plan, output, fingerprint } = this.member
    this.journal = this.resumed
      ? MergeJournal.reopen(output.journalPath)
      : MergeJournal.create(output.journalPath, {
          fingerprint,
          merge: describePlan(plan),
          inputs: await statesOf(plan),
        })
  }

  close(): void {
    this.journal?.close()
  }

  addTensor(tensor: NativeMergedTensor): void {
    const merged = this.described(tensor)
    this.merged.set(tensor.name, merged)
    this.journal?.addTensor(tensor)
    this.member.plan.run.onTensor?.(statsOf(merged))
  }

  addWritten(written: NativeWritten): void {
    this.journal?.addWritten(written)
  }

  async outcome(totals: NativeMergeTotals): Promise<MergeOutcome> {
    const { plan, output } = this.member
    const sizes = await Promise.all(plan.files.map(async ({ name }) => (await stat(output.temporaryPath(name))).size))
    const bytesWritten = sizes.reduce((total, bytes, i) => total + bytes - (this.resumed?.written[i] ?? 0), 0)
    const tensors = [...this.planned.keys()].map((name) => this.merged.get(name) as MergedTensor)
    return { tensors, totals: { ...totals, bytesWritten } }
  }

  /** Tensors that are no floats, or have no elements, are compared in one step, whatever the recipe's merges. */
  private described({ name, steps, modelHashes, hash }: NativeMergedTensor): MergedTensor {
    const { shape, dtype, elements } = this.planned.get(name) as PlannedTensor
    const { merges } = this.member.plan.recipe
    const figures = steps.map(stepStats)
    const compared = figures[0]
    const each = figures.length === merges.length || !compared ? figures : merges.map(() => compared)
    return { name, shape, dtype, elements, steps: each, modelHashes, hash }
  }
}

/** Without the hashes, which are the manifest's. */
function statsOf({ name, shape, dtype, elements, steps }: MergedTensor): MergedTensorStats {
  return { name, shape, dtype, elements, steps }
}
