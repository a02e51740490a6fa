import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isSideFile } from '../../checkpoint/sideFiles.js'
import { looksComplete, manifestFileName } from '../../checkpoint/weightFiles.js'
import { BranchMergeError } from '../../errors.js'
import { readSmallFile } from '../../files/readSmallFile.js'
import type { StepStats } from '../../fusion/tensorStats.js'
import { type HubOrigin, isHubName } from '../../hub/hubName.js'
import type { Recipe } from '../../recipe/recipe.js'
import type { NodeParameters } from '../../recipe/resolvedRecipe.js'

/** Version of the manifest's layout. */
export const manifestFormat = 2

/** Content of branchmerge.json. */
export interface Manifest {
  format: typeof manifestFormat
  /** Version of the package. */
  branchmerge: string
  /** What was carried out, without places: with the models' paths it can be run again. */
  recipe: Recipe
  /** Every merge of the recipe, its inputs before it; the last one is the result. */
  merges: ManifestMerge[]
  /** Inputs by name, in the order of their first use. */
  models: Record<string, ManifestModel>
  /** Names that were stored but left out, because the configuration ties them. */
  tiedWeights: string[]
  /** Names of buffers that models compute from their configuration, left out because not all models store them alike. */
  buffers?: string[]
  output: {
    files: ManifestOutput[]
    sideFiles: ManifestSideFile[]
    tensors: number
    parameters: number
  }
  /** In the order of the output. */
  tensors: Record<string, ManifestTensor>
}

export interface ManifestModel {
  /** Where it was fetched from, if it was: with the commit. */
  origin?: HubOrigin
  files: ManifestInput[]
}

/** Which merge of the recipe it is, and of what. */
export interface MergeIdentity {
  id: string
  /** Name of the recipe's step. */
  step?: string
  method: string
  base?: ManifestOperand
  inputs: ManifestOperand[]
}

export interface ManifestMerge extends MergeIdentity {
  /** In force where no rule of the recipe says otherwise. */
  parameters: NodeParameters
  /** Sums over all tensors: elements taken from Right, tensors equal on both sides, tensors with threshold 0. */
  kept: number
  identical: number
  degenerate: number
}

/** A model, or the result of an earlier merge by its id. */
export type ManifestOperand = { model: string } | { merge: string }

/** A file of an input, in the checkpoint's order; its name depends on where it lies. */
export interface ManifestInput {
  bytes: number
  headerHash: string
  /** Of the whole file, on request. */
  sha256?: string
}

export interface ManifestOutput {
  name: string
  bytes: number
  headerHash: string
  tensors: number
}

export interface ManifestSideFile {
  name: string
  bytes: number
  sha256: string
}

export interface ManifestTensor {
  shape: number[]
  /** Rows at its end that were copied from one model. */
  copied?: { model: string; rows: number }
  /** Of the inputs. */
  dtype: string
  /** Hash of the bytes in each model, in the order of `models`. */
  models: string[]
  /** Hash of the bytes in the output. */
  hash: string
  /** What each merge did, in the order of `merges`. */
  steps: ManifestStep[]
}

/** {@link StepStats} without what is false. */
export type ManifestStep = Omit<StepStats, 'identical' | 'degenerate' | 'nonFinite'> &
  Partial<Pick<StepStats, 'identical' | 'degenerate' | 'nonFinite'>>

/** 100,000 tensors of a sequence of ten merges have a quarter of it. */
const maxManifestBytes = 2 ** 30

/**
 * Reads the manifest of a merged directory; undefined where there is none. Only its format is checked, see
 * {@link checkManifest}.
 *
 * @throws ERR_MANIFEST when it is none of this version's format
 */
export async function readManifest(path: string): Promise<Manifest | undefined> {
  const bytes = await readSmallFile(path, maxManifestBytes, 'ERR_MANIFEST')
  if (!bytes) return undefined
  const manifest = parse(path, bytes.toString('utf8'))
  if (manifest.format !== manifestFormat) {
    throw new BranchMergeError(
      'ERR_MANIFEST',
      `Expected a manifest of format ${manifestFormat} but ${path} has format ${JSON.stringify(manifest.format)}` +
        ': it was written by another version of branchmerge.',
    )
  }
  return manifest as unknown as Manifest
}

/** The manifest of a directory. @throws ERR_FILE_READ where there is none, ERR_MANIFEST where it is not whole */
export async function manifestOf(directory: string): Promise<Manifest> {
  const path = join(directory, manifestFileName)
  const manifest = await readManifest(path)
  if (manifest) {
    checkManifest(path, manifest)
    return manifest
  }
  throw new BranchMergeError('ERR_FILE_READ', `There is no ${path}: expected a directory that fuse or merge wrote`)
}

/** The manifest of a directory that looks complete and has all files that it lists, in their sizes; undefined otherwise. */
export async function completeManifest(out: string): Promise<Manifest | undefined> {
  const manifest = await manifestOf(out).catch(() => undefined)
  if (!manifest || !(await looksComplete(out))) return undefined
  const { files, sideFiles } = manifest.output
  for (const { name, bytes } of [...files, ...sideFiles]) {
    const found = await stat(join(out, name)).catch(() => undefined)
    if (found?.size !== bytes) return undefined
  }
  return manifest
}

function parse(path: string, text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    if (isObject(value)) return value
  } catch {
    // told below
  }
  throw notManifest(path)
}

const notManifest = (path: string) =>
  new BranchMergeError(
    'ERR_MANIFEST',
    `Expected a manifest as branchmerge writes it in ${path} but it is damaged or cut short: merge again`,
  )

/**
 * That everything is there that carries a merge out again, and that names of files lead nowhere else.
 *
 * @throws ERR_MANIFEST
 */
export function checkManifest(path: string, manifest: Manifest): void {
  if (!hasAllFields(manifest as unknown as Record<string, unknown>)) throw notManifest(path)
}

function hasAllFields(value: Record<string, unknown>): boolean {
  const { branchmerge, recipe, merges, models, output, tensors } = value
  if (typeof branchmerge !== 'string' || !isObject(recipe) || !isObject(models) || !isObject(tensors)) return false
  if (!isListOf(merges, ({ id, method }) => typeof id === 'string' && typeof method === 'string')) return false
  if (!Object.values(models).every((model) => isObject(model) && isModel(model))) return false
  if (!isObject(output)) return false
  const { files, sideFiles } = output
  const isNamed = ({ name }: Record<string, unknown>) =>
    typeof name === 'string' && (basename(name) === name || isSideFile(name))
  if (!isListOf(files, (file) => isNamed(file) && isMeasured(file))) return false
  if (!isListOf(sideFiles, (file) => isNamed(file) && typeof file.sha256 === 'string')) return false
  const { length } = merges as unknown[]
  return Object.values(tensors).every(
    (tensor) =>
      isObject(tensor) &&
      typeof tensor.hash === 'string' &&
      Array.isArray(tensor.models) &&
      isListOf(tensor.shape, undefined) &&
      isListOf(tensor.steps, ({ kept }) => typeof kept === 'number') &&
      (tensor.steps as unknown[]).length === length,
  )
}

const isModel = ({ origin, files }: Record<string, unknown>): boolean =>
  isListOf(files, isMeasured) &&
  (origin === undefined || (isObject(origin) && typeof origin.name === 'string' && isHubName(origin.name)))

const isMeasured = ({ bytes, headerHash }: Record<string, unknown>): boolean =>
  typeof bytes === 'number' && typeof headerHash === 'string'

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A list of objects that all pass, or, without a test, of numbers. */
function isListOf(value: unknown, test: ((item: Record<string, unknown>) => boolean) | undefined): boolean {
  if (!Array.isArray(value)) return false
  return value.every((item) => (test ? isObject(item) && test(item) : typeof item === 'number'))
}
