import { hashFile } from '../../files/hashFile.js'
import { recipeError } from '../../recipe/problems.js'
import type { ResolvedModel } from '../../recipe/resolvedRecipe.js'
import type { PlannedModel } from './mergePlan.js'

/**
 * SHA-256 of every file of the models for which it is asked, or which a recipe expects to be certain files, by the model's
 * name.
 *
 * @throws ERR_RECIPE for files that are not the expected ones
 */
export async function hashInputs(
  models: { planned: PlannedModel; resolved: ResolvedModel }[],
  { sha256, signal }: { sha256: boolean; signal: AbortSignal | undefined },
): Promise<Map<string, string[]>> {
  const hashes = new Map<string, string[]>()
  const problems: string[] = []
  for (const { planned, resolved } of models) {
    if (!sha256 && resolved.sha256 === undefined) continue
    const found: string[] = []
    for (const { path } of planned.checkpoint.files) found.push(await hashFile(path, signal))
    hashes.set(planned.name, found)
    problems.push(...unexpected(planned, resolved, found))
  }
  if (problems.length > 0) throw recipeError('The recipe', problems)
  return hashes
}

function unexpected({ checkpoint }: PlannedModel, { name, sha256 }: ResolvedModel, found: string[]): string[] {
  if (sha256 === undefined) return []
  const where = `models.${name}.sha256`
  const names = checkpoint.files.map((file) => file.name)
  if (typeof sha256 === 'string') {
    if (names.length > 1) return [`${where}: Expected a hash for each of ${names.length} files, by name`]
    return found[0] === sha256 ? [] : [`${where}: Expected ${sha256} but ${checkpoint.files[0]?.path} has ${found[0]}`]
  }
  const absent = Object.keys(sha256).filter((file) => !names.includes(file))
  return [
    ...absent.map((file) => `${where}: Expected the file ${file} but ${checkpoint.path} has ${names.join(', ')}`),
    ...checkpoint.files.flatMap((file, i) => {
      const expected = sha256[file.name]
      if (expected === found[i]) return []
      return [`${where}: Expected ${expected ?? 'a hash'} for ${file.name} but ${file.path} has ${found[i]}`]
    }),
  ]
}
