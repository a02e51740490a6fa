/** Answers whose grading is under way; more wait, and their askers with them. */
const mostWaiting = 256

/** Grades answers as they come, beside the asking. */
export class GradeQueue {
  private readonly waiting = new Set<Promise<void>>()
  private failure: unknown

  add(grade: () => Promise<void>): void {
    const one: Promise<void> = grade()
      .catch((error) => {
        this.failure ??= error
      })
      .finally(() => this.waiting.delete(one))
    this.waiting.add(one)
  }

  /** Resolves when another answer may come. Throws what a grading threw. */
  async ready(): Promise<void> {
    while (this.waiting.size >= mostWaiting) await Promise.race(this.waiting)
    if (this.failure !== undefined) throw this.failure
  }

  async finish(): Promise<void> {
    await Promise.all(this.waiting)
    if (this.failure !== undefined) throw this.failure
  }
}
