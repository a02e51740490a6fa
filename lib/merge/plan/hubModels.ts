import { Hub, withLayout } from '../../hub/hub.js'
import { isHubName } from '../../hub/hubName.js'
import { hubSettings } from '../../hub/settings.js'
import type { ResolvedModel } from '../../recipe/resolvedRecipe.js'
import type { MergeRequest } from './mergeRequest.js'

/** Whether models are still to be fetched. */
export const hasHubModels = ({ recipe }: MergeRequest): boolean => recipe.models.some(({ path }) => isHubName(path))

/**
 * The request with the commits that its names mean now, which stay those whatever is committed meanwhile.
 *
 * @throws ERR_HUB_*; the signal's reason after an abort
 */
export async function pinModels(request: MergeRequest): Promise<MergeRequest> {
  return await eachOfHub(request, async (model, hub) => {
    const { origin } = await hub.pin(model.path, 'model')
    return { ...model, path: origin.name, origin }
  })
}

/**
 * Works with the headers of the models, without their tensors: of those that are not in the cache a few megabytes are read.
 *
 * @throws what `work` throws, the Hub's models by their names; ERR_HUB_*
 */
export async function withHeaders<T>(request: MergeRequest, work: (request: MergeRequest) => Promise<T>): Promise<T> {
  if (!hasHubModels(request)) return await work(request)
  return await withLayout(async (directory) =>
    work(
      await eachOfHub(request, async (model, hub) => ({
        ...model,
        path: await hub.layOut(await hub.pin(model.path, 'model'), directory),
      })),
    ),
  )
}

/** The request with its models in the cache. @throws ERR_HUB_*, ERR_DISK_FULL, ERR_OUTPUT_WRITE */
export async function fetchModels(request: MergeRequest): Promise<MergeRequest> {
  return await eachOfHub(request, async (model, hub) => {
    const [path] = await hub.fetch(await hub.pin(model.path, 'model'), 'model')
    return { ...model, path: path as string }
  })
}

async function eachOfHub(
  request: MergeRequest,
  change: (model: ResolvedModel, hub: Hub) => Promise<ResolvedModel>,
): Promise<MergeRequest> {
  if (!hasHubModels(request)) return request
  const { recipe, run } = request
  const hub = new Hub(hubSettings(), { signal: run.signal, onProgress: run.onDownload })
  try {
    const models: ResolvedModel[] = []
    for (const model of recipe.models) models.push(isHubName(model.path) ? await change(model, hub) : model)
    return { ...request, recipe: { ...recipe, models } }
  } finally {
    await hub.close()
  }
}
