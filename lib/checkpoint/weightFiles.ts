import { listIfPresent } from '../files/outputDirectory.js'

/** Weights of a checkpoint in one file, and the list of those in several. A directory with either looks complete. */
export const singleFileName = 'model.safetensors'
export const indexFileName = 'model.safetensors.index.json'

/** Records in a merged directory how it was made, see docs/provenance.md. */
export const manifestFileName = 'branchmerge.json'

/** The names by which a directory looks like a complete checkpoint. */
export const completeNames = [indexFileName, singleFileName]

export async function looksComplete(directory: string): Promise<boolean> {
  return ((await listIfPresent(directory)) ?? []).some((name) => completeNames.includes(name))
}
