import { BranchMergeError } from '../../errors.js'
import type { DownloadOptions } from '../../hub/download.js'
import { fetchPlaces } from '../../hub/hub.js'
import { placeFromFile } from '../../hub/hubName.js'
import type { ResolvedSelection } from './resolveSelection.js'

/**
 * The selection with paths for what it names on the Hub: sources, the tokenizer, and files in the options of steps. Its recipe keeps
 * the names.
 *
 * @throws ERR_HUB_*, ERR_DISK_FULL, ERR_OUTPUT_WRITE; ERR_BENCHMARK for a step's name of several files; the signal's reason after
 *   an abort
 */
export async function fetchSelection(
  selection: ResolvedSelection,
  options: DownloadOptions,
): Promise<ResolvedSelection> {
  const data = async (paths: readonly string[]) => {
    const found = await fetchPlaces(
      paths.map((place) => ({ place, wanted: 'data' as const })),
      options,
    )
    return found.flatMap((each) => each.paths)
  }
  const sources: ResolvedSelection['sources'] = []
  for (const source of selection.sources) {
    const parts: typeof source.parts = []
    for (const part of source.parts) parts.push({ ...part, paths: await data(part.paths) })
    sources.push({ ...source, paths: await data(source.paths), parts })
  }
  const files = new Map<string, string>()
  for (const path of selection.steps.flatMap(({ work, options: own }) => work.files?.(own) ?? [])) {
    const [file, ...others] = await data([placeFromFile(path, selection.directory, 'dataset')])
    if (file === undefined || others.length > 0) {
      throw new BranchMergeError(
        'ERR_BENCHMARK',
        `Expected one file but ${path} has ${others.length + 1}: name one of them`,
      )
    }
    files.set(path, file)
  }
  const fetched = { ...selection, sources, files }
  if (selection.tokenizer === undefined) return fetched
  const [tokenizer] = await fetchPlaces([{ place: selection.tokenizer, wanted: 'tokenizer' }], options)
  return { ...fetched, tokenizer: tokenizer?.paths[0] }
}
