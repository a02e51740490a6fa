import { isServerSpec } from '../engines/open/engineSpec.js'
import type { DownloadOptions } from '../hub/download.js'
import { fetchPlaces } from '../hub/hub.js'
import type { ResolvedModel } from './resolveModel.js'

/**
 * The model with paths for what it names on the Hub. Its place is the name with the commit.
 *
 * @throws ERR_HUB_*, ERR_DISK_FULL, ERR_OUTPUT_WRITE; the signal's reason after an abort
 */
export async function fetchModel(model: ResolvedModel, options: DownloadOptions): Promise<ResolvedModel> {
  const { spec } = model
  if (isServerSpec(spec)) {
    if (spec.tokenizer === undefined) return model
    const [found] = await fetchPlaces([{ place: spec.tokenizer, wanted: 'tokenizer' }], options)
    return { ...model, spec: { ...spec, tokenizer: found?.paths[0] } }
  }
  const [found] = await fetchPlaces([{ place: spec.path, wanted: 'model' }], options)
  return { ...model, place: found?.origin?.name ?? model.place, spec: { ...spec, path: found?.paths[0] as string } }
}
