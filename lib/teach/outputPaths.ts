/** Where a teaching writes: all of it beside the file of trajectories. */
export interface OutputPaths {
  /** NAME.jsonl */
  trajectories: string
  /** NAME.rejected.jsonl */
  rejected: string
  /** NAME.truncated.jsonl */
  truncated: string
  /** NAME.teaching.json */
  manifest: string
  /** NAME.answers/: every answer as it came. */
  directory: string
}

export function outputPaths(out: string): OutputPaths {
  const stem = out.replace(/\.jsonl$/, '')
  return {
    trajectories: out,
    rejected: `${stem}.rejected.jsonl`,
    truncated: `${stem}.truncated.jsonl`,
    manifest: `${stem}.teaching.json`,
    directory: `${stem}.answers`,
  }
}
