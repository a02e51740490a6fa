import { BranchMergeError } from '../../errors.js'

/** Gathers what stands in the way of a merge, so that all of it is told at once. */
export class Refusals {
  private readonly found: BranchMergeError[] = []

  /** Runs a check. What it refuses is kept; undefined is returned then. Any other failure is thrown on. */
  async check<T>(work: () => Promise<T> | T): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof BranchMergeError) || error.code === 'ERR_CANCELLED') throw error
      this.found.push(error)
      return undefined
    }
  }

  get count(): number {
    return this.found.length
  }

  /** @throws the only refusal, or one with the first one's code and the messages of all */
  throwIfAny(): void {
    const [first] = this.found
    if (!first) return
    if (this.found.length === 1) throw first
    const messages = this.found.map(({ message }) => `- ${message.replaceAll('\n', '\n  ')}`)
    throw new BranchMergeError(
      first.code,
      `The merge is refused for ${messages.length} reasons:\n${messages.join('\n')}`,
    )
  }
}
