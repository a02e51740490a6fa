import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { cardName } from '../../card/cardMark.js'
import { cardPlace } from '../../card/modelCard.js'
import { alignmentRank, type FloatDtype, torchName } from '../../checkpoint/dtypes.js'
import { openCheckpoint } from '../../checkpoint/openCheckpoint.js'
import {
  configWithDtype,
  configWithoutQuantisation,
  configWithTies,
  configWithVocabulary,
} from '../../checkpoint/outputConfig.js'
import { readConfig } from '../../checkpoint/readConfig.js'
import { compareSideFiles, completeSideFiles } from '../../checkpoint/sideFiles.js'
import { manifestFileName } from '../../checkpoint/weightFiles.js'
import { bytesTaken, checkFreeSpace, examineOutput, refuseInputs } from '../../files/outputDirectory.js'
import { memoryOfProcess } from '../../machineLimits.js'
import { refuseUnusableDevices } from '../../native/devices.js'
import { bindTensors, type TensorBinding } from '../../recipe/bindTensors.js'
import { recipeError } from '../../recipe/problems.js'
import {
  firstModel,
  lastModel,
  operands,
  type ResolvedModel,
  type ResolvedRecipe,
} from '../../recipe/resolvedRecipe.js'
import { refuseOtherArchitectures } from './architectures.js'
import { unequalBuffers } from './computedBuffers.js'
import { refuseUnmet } from './expectations.js'
import { hashInputs } from './inputHashes.js'
import type { MatchedTensor } from './matchedTensor.js'
import { type MatchedModel, matchTensors, type RowChoice } from './matchTensors.js'
import { type MergePlan, type ModelDifference, type OpenedModel, outputBytes, type PlannedModel } from './mergePlan.js'
import type { MergeRequest } from './mergeRequest.js'
import { compareNames, type OutputFile, planOutput } from './planOutput.js'
import { planPrograms } from './programs.js'
import { refuseQuantised } from './quantisedModels.js'
import { Refusals } from './refusals.js'
import { prefixedNames, withNames } from './tensorNames.js'
import { type SettledHeads, settleHeads, verifyTiedHead } from './tiedWeights.js'
import { rowsOf, vocabularyRows } from './vocabulary.js'

/** 256 MiB of read-ahead (docs/design.md); output blocks, the kernels' scratch and Node take less than the rest. */
const fixedMemoryBytes = 384 * 2 ** 20

const noSideFiles = { files: [], others: [] }

/**
 * Reads headers, configurations and side files of all models and decides what to write where. Writes nothing, reads no
 * tensor.
 *
 * @throws BranchMergeError with whatever makes the merge impossible, all of it at once.
 */
export async function planMerge(request: MergeRequest): Promise<MergePlan> {
  const refusals = new Refusals()
  const plan = await draftPlan(request, refusals)
  await refusals.check(() => examineOutput(request.run.out, request.run.overwrite))
  refusals.throwIfAny()
  return plan as MergePlan
}

/** Plans a merge that several tasks write: what is in the output directory is theirs to examine (mergePart.ts). */
export async function planSplitMerge(request: MergeRequest): Promise<MergePlan> {
  const refusals = new Refusals()
  const plan = await draftPlan(request, refusals)
  refusals.throwIfAny()
  return plan as MergePlan
}

/**
 * Plans a merge that is to be run: besides, it must fit on the disk, stored heads must be what ties say, and inputs the
 * files that the recipe expects.
 */
export async function preflightMerge(request: MergeRequest): Promise<MergePlan> {
  const refusals = new Refusals()
  const plan = await draftPlan(request, refusals)
  const { out, overwrite } = request.run
  const existing = await refusals.check(() => examineOutput(out, overwrite))
  if (plan) {
    // What a run that was cut off left is continued or removed: its room is this run's.
    const taken = await bytesTaken(out, existing?.leftovers ?? [])
    await refusals.check(() => checkFreeSpace(out, outputBytes(plan) - taken))
  }
  await refusals.check(() => refuseUnusableDevices(request.run.device))
  const sha256 = plan && (await checkInputs(plan, refusals))
  refusals.throwIfAny()
  return { ...(plan as MergePlan), sha256: sha256 ?? new Map() }
}

/**
 * Reads what the headers do not tell: that stored heads are what ties say, and hashes of whole files where they were asked
 * for.
 */
export async function verifyInputs(plan: MergePlan): Promise<MergePlan> {
  const refusals = new Refusals()
  const sha256 = await checkInputs(plan, refusals)
  refusals.throwIfAny()
  return { ...plan, sha256: sha256 ?? new Map() }
}

async function checkInputs(plan: MergePlan, refusals: Refusals): Promise<Map<string, string[]> | undefined> {
  const { recipe, run, models } = plan
  for (const { tiedHead } of models) {
    if (tiedHead) await refusals.check(() => verifyTiedHead(tiedHead, run.signal))
  }
  const pairs = models.map((planned, i) => ({ planned, resolved: recipe.models[i] as ResolvedModel }))
  return await refusals.check(() => hashInputs(pairs, run))
}

/** The plan, where the models can be matched; what is wrong goes to `refusals`. */
async function draftPlan(request: MergeRequest, refusals: Refusals): Promise<MergePlan | undefined> {
  const { recipe, run } = request
  const opened = await openModels(request, refusals)
  if (opened.length === recipe.models.length) {
    await refusals.check(() =>
      refuseInputs(
        run.out,
        opened.map(({ checkpoint }) => checkpoint),
      ),
    )
  }
  if (opened.length < recipe.models.length) return undefined
  await refusals.check(() => refuseUnmet(recipe, opened))
  const reference = positionOf(firstModel(recipe.root), recipe)
  if (recipe.choices.architectures === 'equal') await refusals.check(() => refuseOtherArchitectures(opened))
  const { models, buffers, heads, notes } = alignModels(opened, recipe, reference)
  const found = await refusals.check(() => {
    refuseQuantised(models) // first: of one such model and one that is not, no tensor fits
    return matchTensors(
      models.map((model) => participant(model, buffers)),
      reference,
      { rows: rowChoice(recipe), mixedAs: run.dtype },
    )
  })
  if (!found) return undefined
  const matched = operands(recipe.root)[0]?.kind === 'merge' ? inWrittenOrder(found, reference) : found
  const binding = bindTensors(
    recipe,
    matched.map(({ name }) => name),
  )
  await refusals.check(() => refuseProblems(binding))
  if (refusals.count > 0) return undefined
  return await assemblePlan(request, { models, buffers, heads, notes }, matched, binding, reference)
}

/** What models that are not stored alike have in common, as the recipe chooses. */
interface AlignedModels {
  models: PlannedModel[]
  /** Names of buffers that are left out. */
  buffers: string[]
  heads: SettledHeads<OpenedModel>
  notes: string[]
}

function alignModels(opened: OpenedModel[], { choices }: ResolvedRecipe, reference: number): AlignedModels {
  const first = opened[reference] as OpenedModel
  const names = opened.map(({ checkpoint }) =>
    choices.names === 'prefixes' ? prefixedNames(first.checkpoint, checkpoint) : new Map<string, string>(),
  )
  const named = opened.map((model, i) => ({
    ...model,
    checkpoint: withNames(model.checkpoint, names[i] as Map<string, string>),
  }))
  const heads = settleHeads(named, choices.heads)
  const buffers = unequalBuffers(heads.models)
  const notes = [
    ...names.flatMap((renamed, i) => nameNote(renamed, first, opened[i] as OpenedModel)),
    ...heads.borrowing.map((label) => `${label}: its embedding is read as its output head; the output's is not tied`),
    ...bufferNote(buffers),
  ]
  return { models: heads.models, buffers, heads, notes }
}

function nameNote(names: ReadonlyMap<string, string>, first: OpenedModel, { label }: OpenedModel): string[] {
  const [pair] = names
  if (!pair) return []
  return [`${label}: ${names.size} names are those of ${first.label} but for prefixes: "${pair[0]}" is "${pair[1]}"`]
}

function bufferNote([name, ...others]: string[]): string[] {
  if (name === undefined) return []
  const which = others.length > 0 ? `"${name}" and ${others.length} more are` : `"${name}" is`
  return [`${which} left out: models compute such buffers from config.json, and not all store them alike`]
}

/** The order of a checkpoint that we wrote: what the last of several merges, on its own, would find in its Left. */
function inWrittenOrder(matched: MatchedTensor[], reference: number): MatchedTensor[] {
  const fileOf = ({ models }: MatchedTensor) => models[reference]?.file as number
  return matched.toSorted(
    (a, b) => fileOf(a) - fileOf(b) || alignmentRank(b.dtype) - alignmentRank(a.dtype) || compareNames(a.name, b.name),
  )
}

const positionOf = (model: string, { models }: ResolvedRecipe): number => models.findIndex(({ name }) => name === model)

/** Undefined: different numbers of rows are refused. */
function rowChoice(recipe: ResolvedRecipe): RowChoice | undefined {
  const { choices, root } = recipe
  const { embeddings } = choices
  if (embeddings === 'refuse') return undefined
  if (embeddings === 'common') return {}
  return { beyond: positionOf(embeddings === 'left' ? firstModel(root) : lastModel(root), recipe) }
}

async function openModels(request: MergeRequest, refusals: Refusals): Promise<OpenedModel[]> {
  const models: OpenedModel[] = []
  for (const model of request.recipe.models) {
    const opened = await refusals.check(() => openModel(model, request))
    if (opened) models.push(opened)
  }
  return models
}

async function openModel(
  { name, path, origin, dtype }: ResolvedModel,
  { run, label }: MergeRequest,
): Promise<OpenedModel> {
  const checkpoint = await openCheckpoint(path, { signal: run.signal })
  const config = checkpoint.directory ? await readConfig(checkpoint.directory) : undefined
  return { name, label: label(name), checkpoint, config, origin, readAs: dtype }
}

const participant = ({ label, checkpoint, tiedHead, readAs }: PlannedModel, buffers: string[]): MatchedModel => ({
  label,
  checkpoint,
  leftOut: tiedHead ? [...buffers, tiedHead.head.name] : buffers,
  readAs,
})

function refuseProblems({ problems }: TensorBinding): void {
  if (problems.length > 0) throw recipeError('The recipe', problems)
}

async function assemblePlan(
  { recipe, record, run }: MergeRequest,
  { models, buffers, heads, notes }: AlignedModels,
  matched: MatchedTensor[],
  binding: TensorBinding,
  reference: number,
): Promise<MergePlan> {
  const { checkpoint } = models[reference] as PlannedModel
  const files = planOutput(matched, { checkpoint, reference }, run)
  const source = models.find(({ name }) => name === recipe.output.tokenizer) as PlannedModel
  const { directory } = source.checkpoint
  const { files: sideFiles, others } = directory ? await completeSideFiles(directory) : noSideFiles
  const rows = vocabularyRows(matched, models)
  const memoryLimit = run.memoryBytes ?? Math.floor(memoryOfProcess() / 4)
  const bytesOf = ({ models }: MatchedTensor) => sum(models.map(({ bytes }) => bytes))
  const largest = matched.reduce((most, tensor) => Math.max(most, bytesOf(tensor)), 0)
  return {
    recipe,
    record,
    run,
    models,
    files,
    ...planPrograms(
      recipe,
      binding,
      matched.map(({ name }) => name),
    ),
    source,
    sideFiles,
    sideFileBytes: await totalSize(sideFiles.map((name) => join(directory as string, name))),
    differences: await compareWithSource(source, models),
    config: changedConfig(files, source, { rows, ties: heads.ties }),
    parameters: sum(matched.map(({ elements }) => elements)),
    bytesToRead: sum(matched.map(bytesOf)),
    bytesToWrite: sum(files.map(({ bytes }) => bytes)),
    memoryBytes: Math.min(largest, memoryLimit) + fixedMemoryBytes,
    memoryLimit,
    sha256: new Map(),
    buffers,
    notes: [
      ...recipe.notes,
      ...modelNotes(models),
      ...notes,
      ...dtypeNotes(matched, models, run.dtype),
      ...vocabularyNotes({ source, rows, matched, models }),
      ...quantisationNote(source),
      ...leftBehindNote(source, others),
      ...(await cardNote(run)),
    ],
  }
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)

async function totalSize(paths: string[]): Promise<number> {
  return sum(await Promise.all(paths.map(async (path) => (await stat(path)).size)))
}

async function compareWithSource(source: PlannedModel, models: PlannedModel[]): Promise<ModelDifference[]> {
  const differences: ModelDifference[] = []
  for (const { label, checkpoint } of models.filter((model) => model !== source)) {
    if (!source.checkpoint.directory || !checkpoint.directory) continue
    const directories = [source.checkpoint.directory, checkpoint.directory] as const
    const found = await compareSideFiles(...directories, [source.label, label])
    differences.push(...found.map((difference) => ({ model: label, ...difference })))
  }
  return differences
}

/** Text of config.json with the output's dtype, vocabulary and tie of the head, or undefined where it is as it was. */
function changedConfig(
  files: OutputFile[],
  source: PlannedModel,
  { rows, ties }: { rows: number | undefined; ties: boolean | undefined },
): string | undefined {
  const { config, checkpoint } = source
  if (!config) return undefined
  const stored = new Map(checkpoint.tensors.map(({ name, dtype }) => [name, dtype]))
  const tensors = files.flatMap((file) => file.tensors)
  const converted = tensors.find(({ name, outputDtype }) => outputDtype !== stored.get(name))?.outputDtype
  let { text } = config
  if (config.quantisation !== undefined) text = configWithoutQuantisation({ text })
  if (converted !== undefined) text = configWithDtype({ text }, torchName(converted as FloatDtype))
  if (rows !== undefined) text = configWithVocabulary({ text }, { before: rowsOf(checkpoint), rows })
  if (ties !== undefined && ties !== config.tiesWordEmbeddings) text = configWithTies({ text }, ties)
  return text === config.text ? undefined : text
}

/** Which tensors are read in another dtype because the models differ. */
function dtypeNotes(matched: MatchedTensor[], models: PlannedModel[], dtype: FloatDtype | undefined): string[] {
  return models.flatMap(({ label, readAs }, i) => {
    const read = matched.filter((tensor) => tensor.models[i]?.dtype !== tensor.dtype && readAs === undefined)
    if (read.length === 0) return []
    const stored = [...new Set(read.map((tensor) => tensor.models[i]?.dtype))].join(', ')
    return [`${label}: ${read.length} tensors are ${stored} and read as ${dtype}, since the models differ`]
  })
}

/** The weights of the output are no codes, whatever those of the source were. */
function quantisationNote({ label, config }: PlannedModel): string[] {
  if (config?.quantisation === undefined) return []
  return [
    `quantization_config (${config.quantisation}) in config.json of ${label} is left out: the weights are not quantised`,
  ]
}

const maxListed = 10

async function cardNote({ out, card }: MergeRequest['run']): Promise<string[]> {
  const name = card ? await cardPlace(out) : cardName
  return name === cardName ? [] : [`The ${cardName} in ${out} was written by people and stays; the card is ${name}`]
}

/** Files of the source that are neither its weights nor copied. */
function leftBehindNote({ label, checkpoint }: PlannedModel, others: string[]): string[] {
  const weights = new Set(checkpoint.files.map(({ name }) => name))
  const names = others.filter((name) => !weights.has(name) && name !== manifestFileName)
  if (names.length === 0) return []
  const more = names.length > maxListed ? `, and ${names.length - maxListed} more` : ''
  return [`Not copied from ${label}: ${names.slice(0, maxListed).join(', ')}${more}`]
}

/** Which rows are in the output, where the models have different numbers of them. */
function vocabularyNotes({
  source,
  rows,
  matched,
  models,
}: Pick<MergePlan, 'source' | 'models'> & { rows: number | undefined; matched: MatchedTensor[] }): string[] {
  if (rows === undefined) return []
  const copied = matched.find((tensor) => tensor.copied)?.copied
  const merged = rows - (copied?.rows ?? 0)
  const kept = copied
    ? `Embeddings and output heads have the ${merged} common rows of all models, merged, and ${copied.rows} further rows of ${models[copied.model]?.label}`
    : `Embeddings and output heads keep the ${merged} rows that all models have`
  const own = rowsOf(source.checkpoint)
  if (own === undefined || own <= rows) return [kept]
  return [`${kept}. The tokenizer comes from ${source.label}; its tokens from ${rows} on have no row`]
}

function modelNotes(models: PlannedModel[]): string[] {
  return [
    ...models.flatMap(({ label, origin }) => (origin ? [`${label} is ${origin.name}`] : [])),
    ...models.flatMap(({ label, checkpoint }) => checkpoint.problems.map((problem) => `${label}: ${problem}`)),
    ...models.flatMap(({ label, tiedHead }) =>
      tiedHead
        ? [
            tiedHead.because === undefined
              ? `${label}: ${tiedHead.head.name} is tied to ${tiedHead.embedding.name} and left out, as Hugging Face stores it`
              : `${label}: ${tiedHead.head.name} equals ${tiedHead.embedding.name} and is left out, as ${tiedHead.because} ties them`,
          ]
        : [],
    ),
  ]
}
