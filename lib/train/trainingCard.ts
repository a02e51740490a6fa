import { basename } from 'node:path'
import { stringify } from 'yaml'
import { hubLink, markdownTable, modelCard } from '../card/modelCard.js'
import { nameInCache, parseHubName } from '../hub/hubName.js'
import { formatCount } from '../text/format.js'
import { version } from '../version.js'
import type { ResolvedRun } from './resolveRun.js'
import type { RunData } from './runData.js'
import type { SftSummary } from './trainingSummary.js'

/**
 * The card of an expert: what was trained on which data, how, and what came of it. The same wherever it lies; models and data of the
 * Hub have their commits.
 *
 * @throws ERR_FILE_READ
 */
export async function trainingCard(run: ResolvedRun, data: RunData, summary: SftSummary): Promise<string> {
  const origin = nameInCache(run.model)
  const names = run.data.sources.map(({ paths }) => [...new Set(paths.flatMap((path) => nameInCache(path) ?? []))])
  const datasets = names.flat().map((name) => parseHubName(name, 'dataset')?.repository ?? '')
  return await modelCard({
    title: 'Fine-tune of',
    relation: 'finetune',
    models: [{ name: 'model', origin: origin ? { name: origin, revision: 'main' } : undefined, directory: run.model }],
    datasets: [...new Set(datasets)],
    tags: ['sft'],
    sections: [
      ['Trained on', dataText(data, names)],
      ['How', howText(run)],
      ['Result', resultText(summary)],
    ],
  })
}

function dataText({ prepared }: RunData, names: readonly string[][]): string {
  const rows = prepared.sources.map(({ name, rows, documents, validationDocuments, tokens, trainedTokens }, i) => [
    `\`${name}\``,
    (names[i] ?? []).map(hubLink).join(', ') || 'local files',
    ...[rows, documents, validationDocuments, tokens, trainedTokens].map((count) => formatCount(count)),
  ])
  const head = ['source', 'data set', 'rows', 'documents', 'for validation', 'tokens', 'of these with a loss']
  return markdownTable(head, rows)
}

function howText({ preset, data, training, launcher }: ResolvedRun): string {
  const { template, system, think, missingThink, train, maskHistory, cutoffLength, packing, validation, seed } = data
  const settings = {
    ...(preset === undefined ? {} : { preset }),
    data: {
      template: template.endsWith('.jinja') ? basename(template) : template,
      ...(system === undefined ? {} : { system }),
      ...{ think, missingThink, train, maskHistory, cutoffLength, packing },
      ...(validation === undefined ? {} : { validation }),
      seed,
    },
    training,
    launcher: { processes: launcher.processes },
  }
  return `All weights were trained with branchmerge ${version} and AdamW:\n\n\`\`\`yaml\n${stringify(settings)}\`\`\``
}

function resultText(summary: SftSummary): string {
  const { steps, epochs, tokens, trainedTokens, firstLoss, loss, firstValidationLoss, validationLoss } = summary
  const number = (value: number | null) => (value === null ? '' : value.toPrecision(4))
  const rows = [
    ['training loss', number(firstLoss), number(loss)],
    ...(validationLoss === null ? [] : [['validation loss', number(firstValidationLoss), number(validationLoss)]]),
  ]
  const done = `${formatCount(steps)} steps, ${Number(epochs.toFixed(2))} epochs, ${formatCount(tokens)} tokens, of which `
  const skipped =
    summary.skippedSteps > 0
      ? ` ${formatCount(summary.skippedSteps)} steps were left out: their loss was not finite.`
      : ''
  const changed =
    summary.changed.length > 0 ? ` Options that were changed on the way: ${summary.changed.join(', ')}.` : ''
  return `${done}${formatCount(trainedTokens)} with a loss.${skipped}${changed}\n\n${markdownTable(['', 'first', 'last'], rows)}`
}
