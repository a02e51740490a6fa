import { createHash } from 'node:crypto'
import type { Difference, EvaluationResults } from '../../evaluate/analysis/results.js'
import { escapeXml } from '../../text/escapeXml.js'
import { differenceText, percent, pText, wholeText } from './numbers.js'
import { pageScript } from './pageScript.js'
import { type Figure, figureStyle } from './svg.js'
import type { Cell, Table } from './table.js'
import { footerLines, groupTables, tablesOf } from './tables.js'
import { type ChosenTranscripts, inScript, questionKey } from './transcripts.js'

const style = `
:root { color-scheme: light dark }
body { margin: 1rem auto; max-width: 80rem; padding: 0 1rem; font: 14px system-ui, sans-serif; background: #ffffff; color: #1f2328 }
svg.figure { max-width: 100%; height: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: 0.5rem 0; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: 0.3rem 0 }
th, td { padding: 0.15rem 0.5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #d1d9e0 }
th[scope=row], th.first { text-align: left }
th[scope=colgroup] { text-align: center }
th button { font: inherit; background: none; border: 0; color: inherit; cursor: pointer; text-decoration: underline dotted }
th[aria-sort=ascending] button::after { content: ' \\2191' }
th[aria-sort=descending] button::after { content: ' \\2193' }
td.best { font-weight: 700 }
.quiet, .note { color: #59636e }
pre { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; border: 1px solid #d1d9e0; padding: 0.5rem; max-height: 40rem; overflow-y: auto }
.transcript { border-left: 4px solid #d55e00; margin: 0.4rem 0; padding-left: 0.6rem }
.transcript.right { border-left-color: #0072b2 }
form { display: flex; flex-wrap: wrap; gap: 0.6rem }
select { max-width: 24rem }
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #e6edf3 }
  th, td, pre { border-color: #3d444d }
  .quiet, .note { color: #9198a1 }
}
`

/** More rows would make the page heavy; results.json has all of them. */
const mostListed = 500

/**
 * The whole report as one HTML page that asks for nothing: its policy lets its own script and styles run and forbids
 * everything else, network included. Texts of models are data, and become text nodes.
 */
export function evaluationPage(
  results: EvaluationResults,
  figures: readonly Figure[],
  transcripts: ChosenTranscripts,
): string {
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(pageScript)}`,
    `style-src ${hashOf(style)} ${hashOf(figureStyle)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
  return `${[
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8"/>',
    `<meta http-equiv="Content-Security-Policy" content="${policy}"/>`,
    '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
    '<title>Evaluation</title>',
    `<style>${style}</style>`,
    '</head>',
    '<body>',
    '<h1>Evaluation</h1>',
    ...tablesOf(results).map((table) => section(table.title, tableHtml(table))),
    ...figures.map((figure) => section(figure.title, [figure.svg.trimEnd()])),
    ...groupTables(results).map((table) => section(table.title, tableHtml(table))),
    ...(results.differences.length > 0
      ? [section('Gained and lost', changesHtml(results, transcripts.questions))]
      : []),
    viewer(transcripts),
    section('Made with', ['<ul>', ...footerLines(results).map((line) => `<li>${escapeXml(line)}</li>`), '</ul>']),
    dataScript(results, transcripts),
    `<script>${pageScript}</script>`,
    '</body>',
    '</html>',
  ].join('\n')}\n`
}

const hashOf = (content: string): string => `'sha256-${createHash('sha256').update(content).digest('base64')}'`

const section = (title: string, content: readonly string[]): string =>
  ['<section>', `<h2>${escapeXml(title)}</h2>`, ...content, '</section>'].join('\n')

function tableHtml({ title, rowHeader, rows, groups, notes }: Table): string[] {
  const columns = groups.flatMap((group) => group.columns)
  const names = groups.map(
    ({ name, columns: { length } }) => `<th scope="colgroup" colspan="${length}">${escapeXml(name)}</th>`,
  )
  const headers = [rowHeader, ...columns.map(({ header }) => header)]
  const lines = rows.map((row, i) => {
    const cells = columns.map(({ cells }) => cellHtml(cells[i]))
    return `<tr><th scope="row">${escapeXml(row)}</th>${cells.join('')}</tr>`
  })
  return [
    ...sortableTable(title, headers, groups.length > 1 ? `<tr><td></td>${names.join('')}</tr>` : '', lines),
    ...notes.map((note) => `<p class="note">${escapeXml(note)}</p>`),
  ]
}

function sortableTable(caption: string, headers: readonly string[], above: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return []
  const cells = headers.map(
    (header, i) =>
      `<th scope="col" data-column="${i}" aria-sort="none"${i === 0 ? ' class="first"' : ''}><button type="button">${escapeXml(header)}</button></th>`,
  )
  return [
    '<div class="wide"><table>',
    `<caption>${escapeXml(caption)}</caption>`,
    `<thead>${above}<tr>${cells.join('')}</tr></thead>`,
    '<tbody>',
    ...lines,
    '</tbody>',
    '</table></div>',
  ]
}

function cellHtml(cell: Cell | undefined): string {
  const value = cell?.value === undefined ? '' : ` data-value="${cell.value}"`
  const best = cell?.best ? ' class="best"' : ''
  return `<td${value}${best}>${escapeXml(cell?.text ?? '')}</td>`
}

function changesHtml(results: EvaluationResults, embedded: ReadonlySet<string>): string[] {
  return results.differences.flatMap((difference) => {
    const { model, baseline, benchmark, gained, lost, questions, p } = difference
    const title = `${benchmark}: ${model} against ${baseline}`
    const sum = `${differenceText(difference)} points over ${wholeText(questions)} questions, p ${pText(p)}; ${gained.length} gained, ${lost.length} lost`
    return [
      '<details>',
      `<summary>${escapeXml(`${title}: ${sum}`)}</summary>`,
      ...changeTable(results, difference, 'Gained', gained, embedded),
      ...changeTable(results, difference, 'Lost', lost, embedded),
      '</details>',
    ]
  })
}

function changeTable(
  { benchmarks }: EvaluationResults,
  { benchmark, model, baseline }: Difference,
  caption: string,
  changes: Difference['gained'],
  embedded: ReadonlySet<string>,
): string[] {
  const place = benchmarks.findIndex(({ name }) => name === benchmark)
  const lines = changes.slice(0, mostListed).map(({ question, from, to }) => {
    const name = escapeXml(question)
    const link = embedded.has(questionKey(benchmark, question))
      ? `<a href="#q/${place}/${escapeXml(encoded(question))}">${name}</a>`
      : name
    const share = (value: number) => `<td data-value="${value}">${percent(value)}</td>`
    return `<tr><th scope="row">${link}</th>${share(from)}${share(to)}<td data-value="${to - from}">${percent(to - from)}</td></tr>`
  })
  const more = changes.length - lines.length
  return [
    ...sortableTable(caption, ['question', `${baseline} %`, `${model} %`, 'change'], '', lines),
    ...(more > 0 ? [`<p class="note">${wholeText(more)} more are in results.json.</p>`] : []),
  ]
}

/** A lone surrogate has no UTF-8, and no address. */
const encoded = (question: string): string => encodeURIComponent(question.replace(/\p{Cs}/gu, '\ufffd'))

function viewer({ json, all }: ChosenTranscripts): string {
  const count =
    json.length === all
      ? `All ${wholeText(all)} transcripts are here.`
      : `${wholeText(json.length)} of ${wholeText(all)} transcripts are here, as many as fit: first those of questions that were gained or lost. The evaluation's directory has all answers.`
  const choice = (id: string, label: string, options = '') =>
    `<label>${label} <select id="${id}">${options}</select></label>`
  return [
    '<section id="viewer">',
    '<h2>Transcripts</h2>',
    `<p class="note">${escapeXml(count)}</p>`,
    '<noscript><p>Transcripts need the script of this page.</p></noscript>',
    '<form>',
    choice('choose-benchmark', 'Benchmark'),
    choice('choose-question', 'Question'),
    '<button type="button" id="previous">Previous</button>',
    '<button type="button" id="next">Next</button>',
    choice('choose-model', 'Model'),
    choice(
      'choose-status',
      'Answers',
      '<option value="">all</option><option value="right">correct</option><option value="wrong">not correct</option>',
    ),
    '</form>',
    '<div id="shown" tabindex="-1" aria-live="polite"></div>',
    '</section>',
  ].join('\n')
}

function dataScript({ benchmarks, models }: EvaluationResults, { json }: ChosenTranscripts): string {
  const names = inScript(benchmarks.map(({ name }) => name))
  return `<script type="application/json" id="transcripts">{"benchmarks":${names},"models":${inScript(models)},"transcripts":[${json.join(',\n')}]}</script>`
}
