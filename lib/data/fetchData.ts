import { fetchPlaces } from '../hub/hub.js'
import { isHubName } from '../hub/hubName.js'
import type { Wanted } from '../hub/wantedFiles.js'
import type { ResolvedData, Running } from './options.js'

/** What names its model and its data by paths alone. */
export interface LocalData {
  model: string
  data: ResolvedData
}

/**
 * Fetches what a model and its data name on the Hub.
 *
 * @param wanted - what is needed of the model: of data that is only prepared the tokenizer
 * @throws ERR_HUB_*, ERR_DISK_FULL, ERR_OUTPUT_WRITE; the signal's reason after an abort
 */
export async function fetchData(
  model: string,
  data: ResolvedData,
  wanted: Extract<Wanted, 'model' | 'tokenizer'>,
  { signal, onProgress }: Pick<Running, 'signal'> & Partial<Pick<Running, 'onProgress'>>,
): Promise<LocalData> {
  const { tokenizer, sources } = data
  const places = [
    { place: model, wanted },
    { place: tokenizer ?? model, wanted: tokenizer === undefined ? wanted : ('tokenizer' as const) },
    ...sources.flatMap(({ paths }) => paths.map((place) => ({ place, wanted: 'data' as const }))),
  ]
  if (!places.some(({ place }) => isHubName(place))) return { model, data }
  const found = await fetchPlaces(places, {
    signal,
    onProgress: ({ bytesDone, bytesTotal }) =>
      onProgress?.({ phase: 'download', bytesDone, bytesTotal, rowsDone: 0, tokensDone: 0 }),
  })
  const local = (place: string) => found[places.findIndex((each) => each.place === place)]?.paths ?? [place]
  return {
    model: found[0]?.paths[0] as string,
    data: {
      ...data,
      tokenizer: tokenizer === undefined ? undefined : found[1]?.paths[0],
      sources: sources.map((source) => ({ ...source, paths: source.paths.flatMap(local) })),
    },
  }
}
