import type { Recipe } from '../../recipe/recipe.js'
import { isMapping } from '../../validate.js'
import { version } from '../../version.js'
import type { MergePlan } from '../plan/mergePlan.js'
import type { Manifest } from './manifest.js'

/** What a merge is, as far as it is known before a tensor is read: kept beside its work, to compare another one with. */
export interface MergeDescription {
  /** Of branchmerge. */
  version: string
  /** As it is carried out, without places. */
  recipe: Recipe
  /** Size and hash of the header of each file of a model, by the model's name. */
  models: Record<string, { bytes: number; headerHash: string }[]>
}

const maxListed = 10

export function describePlan({ record, models }: MergePlan): MergeDescription {
  const files = models.map(({ name, checkpoint }) => {
    return [name, checkpoint.files.map(({ bytes, headerHash }) => ({ bytes, headerHash }))] as const
  })
  return { version, recipe: record, models: Object.fromEntries(files) }
}

export function describeManifest({ branchmerge, recipe, models }: Manifest): MergeDescription {
  const files = Object.entries(models).map(([name, { files }]) => {
    return [name, files.map(({ bytes, headerHash }) => ({ bytes, headerHash }))] as const
  })
  return { version: branchmerge, recipe, models: Object.fromEntries(files) }
}

/** What an earlier merge and the one that is asked for do not have in common, in words. */
export function descriptionDifferences(earlier: MergeDescription, now: MergeDescription): string[] {
  const all = [
    ...(earlier.version === now.version ? [] : [`It is of branchmerge ${earlier.version}, this is ${now.version}`]),
    ...valueDifferences(earlier.recipe, now.recipe, ''),
    ...Object.entries(now.models).flatMap(([name, files]) => fileDifferences(name, earlier.models[name], files)),
  ]
  return all.length > maxListed ? [...all.slice(0, maxListed), `and ${all.length - maxListed} more`] : all
}

function fileDifferences(
  name: string,
  earlier: MergeDescription['models'][string] | undefined,
  now: MergeDescription['models'][string],
): string[] {
  if (!earlier) return [`${name} was none of the models`]
  if (earlier.length !== now.length) return [`${name} had ${earlier.length} files and has ${now.length}`]
  const same = now.every((file, i) => file.bytes === earlier[i]?.bytes && file.headerHash === earlier[i]?.headerHash)
  return same ? [] : [`${name} has files of other sizes or tensors than what was merged`]
}

/** By the path of each key: `options.lambda was 1.5 and is 2`. */
function valueDifferences(earlier: unknown, now: unknown, path: string): string[] {
  const [a, b] = [JSON.stringify(earlier), JSON.stringify(now)]
  if (a === b) return []
  if (isMapping(earlier) && now === undefined) return valueDifferences(earlier, {}, path)
  if (isMapping(now) && earlier === undefined) return valueDifferences({}, now, path)
  if (!isMapping(earlier) || !isMapping(now)) return [`${path || 'The recipe'} was ${show(a)} and is ${show(b)}`]
  const keys = [...new Set([...Object.keys(earlier), ...Object.keys(now)])]
  const found = keys.flatMap((key) => valueDifferences(earlier[key], now[key], path ? `${path}.${key}` : key))
  // The order decides which model's files and rows come first.
  return found.length > 0 ? found : [`${path || 'The recipe'} had its keys in another order`]
}

const show = (json: string | undefined): string => {
  if (json === undefined) return 'not given'
  return json.length > 80 ? `${json.slice(0, 77)}...` : json
}
