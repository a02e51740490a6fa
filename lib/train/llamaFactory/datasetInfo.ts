import { basename, join, resolve } from 'node:path'
import type { DataSource, MessageTags, SourceColumns } from '../../data/options.js'
import { BranchMergeError } from '../../errors.js'
import { readSmallFile } from '../../files/readSmallFile.js'
import { hubNameText, parseHubName } from '../../hub/hubName.js'
import { pathFromFile } from '../../pathFromFile.js'
import { isMapping, nearestName } from '../../validate.js'

/** LLaMA-Factory's own has a few hundred kilobytes. */
const maxInfoBytes = 16 * 2 ** 20

type Mapping = Record<string, unknown>

/** What LLaMA-Factory calls columns and tags, and what they are called here. */
const alpacaColumns: Record<string, keyof SourceColumns> = {
  prompt: 'instruction',
  query: 'input',
  response: 'output',
  history: 'history',
  system: 'system',
  tools: 'tools',
}
const sharegptColumns: Record<string, keyof SourceColumns> = {
  messages: 'conversations',
  system: 'system',
  tools: 'tools',
}
const tags: Record<string, keyof MessageTags> = {
  role_tag: 'role',
  content_tag: 'content',
  user_tag: 'user',
  assistant_tag: 'assistant',
  system_tag: 'system',
  observation_tag: 'observation',
  function_tag: 'function',
}

/** Keys of an entry that say something else than where the rows are and what they look like, and hubs that are not asked. */
const ignored = ['subset', 'split', 'folder', 'ms_hub_url', 'om_hub_url']

/**
 * The sources that names stand for in the dataset_info.json of a directory.
 *
 * @param problem - told what is wrong with a name or its entry, or that there is no such file
 * @throws ERR_FILE_READ or ERR_RECIPE when the file cannot be read, or has no JSON in it
 */
export async function datasetSources(
  names: readonly string[],
  directory: string,
  problem: (message: string) => void,
): Promise<DataSource[]> {
  const path = join(directory, 'dataset_info.json')
  const info = await readInfo(path)
  if (info === undefined) {
    problem(`Expected LLaMA-Factory's ${path}, which says what the datasets are, but there is none: set dataset_dir`)
    return []
  }
  return names.flatMap((name) => {
    const entry = info[name]
    if (isMapping(entry))
      return sourceOf(name, entry, directory, (message) => problem(`${name} of ${path}: ${message}`)) ?? []
    const near = nearestName(name, Object.keys(info))
    problem(`There is no ${name} in ${path}${near ? `: did you mean ${near}?` : ''}`)
    return []
  })
}

async function readInfo(path: string): Promise<Mapping | undefined> {
  const bytes = await readSmallFile(path, maxInfoBytes, 'ERR_RECIPE')
  if (!bytes) return undefined
  const value = parse(bytes.toString('utf8'), path)
  if (isMapping(value)) return value
  throw new BranchMergeError('ERR_RECIPE', `Expected a JSON object in ${path}`)
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new BranchMergeError('ERR_RECIPE', `Expected JSON in ${path}: ${(cause as Error).message}`, { cause })
  }
}

function sourceOf(
  name: string,
  entry: Mapping,
  directory: string,
  problem: (message: string) => void,
): DataSource | undefined {
  const { file_name, hf_hub_url, formatting = 'alpaca', columns = {}, tags: given = {}, num_samples, ...rest } = entry
  const path =
    typeof file_name === 'string'
      ? resolve(pathFromFile(file_name, directory))
      : typeof hf_hub_url === 'string'
        ? hubPlace(hf_hub_url, entry, problem)
        : undefined
  if (path === undefined) {
    if (typeof hf_hub_url !== 'string')
      problem('Expected a file_name, or hf_hub_url with a name on the Hugging Face Hub')
    return undefined
  }
  if (formatting !== 'alpaca' && formatting !== 'sharegpt') {
    problem(`Expected alpaca or sharegpt for formatting but received ${JSON.stringify(formatting)}`)
    return undefined
  }
  if (rest.ranking === true) problem('The data set ranks answers, which is not supervised fine-tuning')
  for (const key of Object.keys(rest)) {
    if (!ignored.includes(key) && key !== 'ranking') problem(`${key} is not supported`)
  }
  const known = formatting === 'alpaca' ? alpacaColumns : sharegptColumns
  const named = renamed(columns, known, (key) => problem(`The column ${key} is not supported`))
  const tagged = renamed(given, tags, (key) => problem(`The tag ${key} is not supported`))
  const take = typeof num_samples === 'number' ? { take: num_samples } : {}
  return {
    path,
    name: name || basename(path),
    format: formatting,
    ...(Object.keys(named).length > 0 ? { columns: named } : {}),
    ...(Object.keys(tagged).length > 0 ? { tags: tagged } : {}),
    ...take,
  }
}

/** The files of a data set on the Hub. Which belong to a subset or to another split than `train`, only its card says. */
function hubPlace(text: string, { subset, split, folder }: Mapping, problem: (message: string) => void) {
  const name = parseHubName(text, 'dataset')
  if (name?.kind !== 'dataset' || name.path !== '') {
    problem(`Expected org/name for hf_hub_url but received ${JSON.stringify(text)}`)
    return undefined
  }
  for (const [key, value] of Object.entries({ subset, split: split === 'train' ? undefined : split })) {
    if (value === undefined || value === null) continue
    problem(
      `${key} ${JSON.stringify(value)} of a data set on the Hub is not supported: leave it out, and name its files in the run, ` +
        `as hf://datasets/${text}/data/${key === 'split' ? value : 'train'}-*.parquet`,
    )
    return undefined
  }
  return hubNameText({ ...name, path: typeof folder === 'string' ? folder.replace(/^\.?\/+|\/+$/g, '') : '' })
}

function renamed(
  value: unknown,
  names: Record<string, string>,
  unknown: (key: string) => void,
): Record<string, string> {
  const entries = isMapping(value) ? Object.entries(value) : []
  return Object.fromEntries(
    entries.flatMap(([key, column]) => {
      const ours = names[key]
      if (ours === undefined) unknown(key)
      return ours === undefined || typeof column !== 'string' ? [] : [[ours, column]]
    }),
  )
}
