import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { readSmallFile } from '../files/readSmallFile.js'
import { type HubName, type HubOrigin, parseHubName } from '../hub/hubName.js'
import { readYaml } from '../recipe/readYaml.js'
import { isMapping } from '../validate.js'
import { cardName, isWrittenCard, markedCard } from './cardMark.js'

/** A model that another was made from. */
export interface CardModel {
  /** In the recipe. */
  name: string
  origin: HubOrigin | undefined
  /** Undefined where it is a file of weights alone. */
  directory: string | undefined
}

export interface CardFacts {
  /** Before the names of the models: "Merge of". */
  title: string
  relation: 'merge' | 'finetune'
  models: readonly CardModel[]
  /** On the Hub: org/name. */
  datasets?: readonly string[]
  /** Of the Hub, besides the relation. */
  tags: readonly string[]
  /** Sections: a title and Markdown. */
  sections: readonly (readonly [title: string, text: string])[]
}

const maxCardBytes = 10 * 2 ** 20
/** Where people have written the card themselves. */
const otherName = 'README.branchmerge.md'

interface Licence {
  model: string
  licence: string | undefined
  name: string | undefined
  link: string | undefined
}

/** The card's text, with what the cards of the models say of their licences. @throws ERR_FILE_READ */
export async function modelCard({
  title,
  relation,
  models,
  datasets = [],
  tags,
  sections,
}: CardFacts): Promise<string> {
  const licences = await Promise.all(models.map(licenceOf))
  const bases = models.flatMap(({ origin }) => repositoryOf(origin) ?? [])
  const front = {
    ...(bases.length > 0 ? { base_model: [...new Set(bases)], base_model_relation: relation } : {}),
    ...(datasets.length > 0 ? { datasets: [...datasets] } : {}),
    library_name: 'transformers',
    ...commonLicence(licences),
    tags: [...tags, 'branchmerge'],
  }
  const rows = models.map((model, i) => [
    `\`${model.name}\``,
    placeText(model),
    licences[i]?.name ?? licences[i]?.licence ?? 'not stated',
  ])
  const parts = [
    `---\n${stringify(front)}---`,
    `# ${title} ${models.map(({ name, origin }) => repositoryOf(origin) ?? name).join(', ')}`,
    `## Made from\n\n${markdownTable(['name', 'model', 'licence'], rows)}${licenceWarning(licences)}`,
    ...sections.map(([heading, text]) => `## ${heading}\n\n${text}`),
  ]
  return markedCard(`${parts.join('\n\n')}\n`)
}

export const markdownTable = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows]
    .map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`)
    .join('\n')

const repositoryOf = (origin: HubOrigin | undefined): string | undefined =>
  origin && parseHubName(origin.name, 'model')?.repository

/** Paths of this machine are nobody's business. */
const placeText = ({ origin }: CardModel): string => (origin ? hubLink(origin.name) : 'a local directory')

/** Where a name with its commit leads people. */
export function hubLink(name: string): string {
  const { kind, repository, revision, path } = parseHubName(name, 'model') as HubName
  const folder = path === '' ? '' : `, ${path}`
  const place = `${kind === 'dataset' ? 'datasets/' : ''}${repository}`
  return `[${repository}](https://huggingface.co/${place}/tree/${revision})${folder} at ${revision}`
}

async function licenceOf({ name, directory }: CardModel): Promise<Licence> {
  const text = directory && (await readSmallFile(join(directory, cardName), maxCardBytes, 'ERR_FILE_READ'))
  const front = text ? frontMatter(text.toString('utf8')) : {}
  const word = (key: string) => (typeof front[key] === 'string' ? (front[key] as string) : undefined)
  return { model: name, licence: word('license'), name: word('license_name'), link: word('license_link') }
}

/** What is no YAML says nothing. */
function frontMatter(text: string): Record<string, unknown> {
  const [, yaml] = /^\uFEFF?---\r?\n(.*?)\r?\n---/s.exec(text) ?? []
  if (yaml === undefined) return {}
  try {
    const value = readYaml(yaml, cardName)[0]?.value
    return isMapping(value) ? value : {}
  } catch {
    return {}
  }
}

function commonLicence([first, ...others]: readonly Licence[]): Record<string, string> {
  const same = first && others.every(({ licence, name }) => licence === first.licence && name === first.name)
  if (!same || first.licence === undefined) return {}
  return {
    license: first.licence,
    ...(first.name === undefined ? {} : { license_name: first.name }),
    ...(first.link === undefined ? {} : { license_link: first.link }),
  }
}

function licenceWarning(licences: readonly Licence[]): string {
  const different = new Set(licences.map(({ licence, name }) => `${licence} ${name}`)).size > 1
  if (!different) return ''
  return '\n\n**The licences differ, or not all are stated.** This card names none: find out what all of them allow together.'
}

/** Where a card of `directory` goes: what people have written under its name stays. */
export async function cardPlace(directory: string): Promise<string> {
  const path = join(directory, cardName)
  const isThere = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
  if (!isThere) return cardName
  const text = await readSmallFile(path, maxCardBytes, 'ERR_FILE_READ')
  return text && !isWrittenCard(text.toString('utf8')) ? otherName : cardName
}
