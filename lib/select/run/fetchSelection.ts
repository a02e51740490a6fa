import { fetchPlaces } from '../../hub/hub.js'
import type { ResolvedSelection } from './resolveSelection.js'

/**
 * The selection with paths for what it names on the Hub. Its recipe keeps the names.
 *
 * @throws ERR_HUB_*, ERR_DISK_FULL, ERR_OUTPUT_WRITE; the signal's reason after an abort
 */
export async function fetchSelection(selection: ResolvedSelection, signal: AbortSignal): Promise<ResolvedSelection> {
  const data = async (paths: readonly string[]) => {
    const found = await fetchPlaces(
      paths.map((place) => ({ place, wanted: 'data' as const })),
      { signal },
    )
    return found.flatMap((each) => each.paths)
  }
  const sources: ResolvedSelection['sources'] = []
  for (const source of selection.sources) {
    const parts: typeof source.parts = []
    for (const part of source.parts) parts.push({ ...part, paths: await data(part.paths) })
    sources.push({ ...source, paths: await data(source.paths), parts })
  }
  if (selection.tokenizer === undefined) return { ...selection, sources }
  const [tokenizer] = await fetchPlaces([{ place: selection.tokenizer, wanted: 'tokenizer' }], { signal })
  return { ...selection, sources, tokenizer: tokenizer?.paths[0] }
}
