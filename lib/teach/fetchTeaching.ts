import { fetchModel } from '../asking/fetchModel.js'
import type { DownloadOptions } from '../hub/download.js'
import { fetchPlaces } from '../hub/hub.js'
import type { ResolvedTeaching } from './resolveTeaching.js'

/**
 * The teaching with paths for its teacher and tokenizer where they are named on the Hub, and the files of its questions.
 *
 * @throws ERR_HUB_*, ERR_DISK_FULL, ERR_OUTPUT_WRITE; the signal's reason after an abort
 */
export async function fetchTeaching(
  given: ResolvedTeaching,
  options: DownloadOptions,
): Promise<{ resolved: ResolvedTeaching; questions: string[] }> {
  const { teacher, tokenizer } = given
  const { spec } = teacher
  const fetched = spec ? await fetchModel({ ...teacher, spec }, options) : teacher
  const [questions, counting] = await fetchPlaces(
    [
      { place: given.questions, wanted: 'data' as const },
      ...(tokenizer === undefined ? [] : [{ place: tokenizer, wanted: 'tokenizer' as const }]),
    ],
    options,
  )
  const resolved = { ...given, teacher: fetched, tokenizer: counting?.paths[0] }
  return { resolved, questions: questions?.paths ?? [] }
}
