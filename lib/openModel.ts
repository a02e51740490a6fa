import { type Checkpoint, openCheckpoint } from './checkpoint/openCheckpoint.js'
import { Hub, withLayout } from './hub/hub.js'
import { isHubName, placeFromFile } from './hub/hubName.js'
import { hubSettings } from './hub/settings.js'
import { checkOptionNames, checkPath, checkSignal } from './validate.js'

/**
 * Reads and validates the headers of a checkpoint: a directory that holds `model.safetensors`, or shards with
 * `model.safetensors.index.json`, one .safetensors file, or the name of a model on the Hub. Of a model that is not in the cache only the
 * headers and the small files are fetched; the paths of its files are their names then.
 *
 * @throws BranchMergeError ERR_CHECKPOINT_NOT_FOUND, ERR_FILE_READ, ERR_HUB_*, one of ERR_HEADER_*, ERR_TENSOR_* or ERR_INDEX_*.
 */
export async function openModel(path: string, options: { signal?: AbortSignal | undefined } = {}): Promise<Checkpoint> {
  checkOptionNames(options, ['signal'])
  const signal = checkSignal(options.signal)
  const place = placeFromFile(checkPath(path, 'path'), '.', 'model')
  if (!isHubName(place)) return await openCheckpoint(place, { signal })
  const hub = new Hub(hubSettings(), { signal })
  try {
    const pin = await hub.pin(place, 'model')
    const { origin } = pin
    return await withLayout(async (directory) => {
      const local = await hub.layOut(pin, directory)
      const checkpoint = await openCheckpoint(local, { signal })
      if (!local.startsWith(directory)) return checkpoint
      const file = (each: string) =>
        checkpoint.directory ? origin.name.replace(/(?=@[^@]*$)/, `/${each}`) : origin.name
      return {
        ...checkpoint,
        path: origin.name,
        directory: undefined,
        files: checkpoint.files.map((each) => ({ ...each, path: file(each.name) })),
      }
    })
  } finally {
    await hub.close()
  }
}
