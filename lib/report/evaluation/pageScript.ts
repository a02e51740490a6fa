/**
 * The page's own script. It sorts tables and shows transcripts, whose texts become text nodes and nothing else. Its hash is
 * the only one that the page's policy lets run.
 */
export const pageScript = String.raw`
'use strict'
const statusNames = { correct: 'correct', wrong: 'wrong', truncated: 'truncated', 'no-answer': 'no answer', unsupported: 'unsupported' }

function make(name, properties, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(properties)) {
    if (key === 'class') element.className = value
    else if (key.startsWith('aria-')) element.setAttribute(key, value)
    else element[key] = value
  }
  element.append(...children)
  return element
}

function sortBy(button) {
  const header = button.closest('th')
  const table = header.closest('table')
  const column = Number(header.dataset.column)
  const ascending = header.getAttribute('aria-sort') !== 'ascending'
  for (const other of table.querySelectorAll('th[aria-sort]')) other.setAttribute('aria-sort', 'none')
  header.setAttribute('aria-sort', ascending ? 'ascending' : 'descending')
  const body = table.tBodies[0]
  const keyOf = (row) => {
    const cell = row.cells[column]
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value)
  }
  const missing = (key) => key === '-' || key === ''
  const rows = [...body.rows].map((row) => ({ row, key: keyOf(row) }))
  rows.sort((a, b) => {
    if (missing(a.key) || missing(b.key)) return Number(missing(a.key)) - Number(missing(b.key))
    const order = a.key < b.key ? -1 : a.key > b.key ? 1 : 0
    return ascending ? order : -order
  })
  body.append(...rows.map(({ row }) => row))
}

for (const button of document.querySelectorAll('th button')) button.addEventListener('click', () => sortBy(button))

const { benchmarks, models, transcripts } = JSON.parse(document.getElementById('transcripts').textContent)
const byId = (id) => document.getElementById(id)
const [benchmarkChoice, questionChoice, modelChoice, statusChoice, shown] =
  ['choose-benchmark', 'choose-question', 'choose-model', 'choose-status', 'shown'].map(byId)

const questions = new Map()
for (const transcript of transcripts) {
  if (!questions.has(transcript.b)) questions.set(transcript.b, new Map())
  const of = questions.get(transcript.b)
  if (!of.has(transcript.q)) of.set(transcript.q, [])
  of.get(transcript.q).push(transcript)
}

const option = (value, text) => make('option', { value: String(value), textContent: text })

function fillQuestions() {
  const of = questions.get(Number(benchmarkChoice.value)) ?? new Map()
  questionChoice.replaceChildren(...[...of.keys()].map((question, i) => option(i, question)))
}

function chosenQuestion() {
  const of = questions.get(Number(benchmarkChoice.value)) ?? new Map()
  return [...of.keys()][Number(questionChoice.value)]
}

function part(title, text) {
  return [make('h4', { textContent: title }), make('pre', { textContent: text })]
}

function article(transcript) {
  const { m, t, status, tokens, rule, texts } = transcript
  const length = tokens === null ? '' : ', ' + tokens.toLocaleString('en') + ' tokens'
  const title = models[m] + ', trial ' + t + ': ' + statusNames[status] + length
  const details = make('details', { class: 'transcript ' + (status === 'correct' ? 'right' : 'wrong') },
    make('summary', { textContent: title }))
  details.addEventListener('toggle', () => {
    if (!details.open || details.childElementCount > 1) return
    details.append(make('p', { textContent: 'Graded by: ' + rule }))
    if (!texts) details.append(make('p', { textContent: 'The texts of this benchmark are not to be published.' }))
    else {
      details.append(make('p', { textContent: 'Taken as the answer: ' + (texts.extracted ?? 'nothing') }))
      details.append(...part('Reference', texts.reference), ...part('Prompt', texts.prompt))
      if (texts.reasoning !== '') details.append(...part('Reasoning', texts.reasoning))
      details.append(...part('Answer', texts.text))
    }
  })
  return details
}

function show() {
  const question = chosenQuestion()
  const found = (questions.get(Number(benchmarkChoice.value))?.get(question) ?? []).filter(
    ({ m, status }) =>
      (modelChoice.value === '' || Number(modelChoice.value) === m) &&
      (statusChoice.value === '' || (status === 'correct') === (statusChoice.value === 'right')),
  )
  const heading = question === undefined ? 'No transcripts' : benchmarks[Number(benchmarkChoice.value)] + ', ' + question
  shown.replaceChildren(make('h3', { textContent: heading }), ...found.map(article))
  if (question !== undefined && found.length === 0) shown.append(make('p', { textContent: 'No transcript of this kind.' }))
}

/** #q/BENCHMARK/QUESTION shows a question's transcripts. */
function follow() {
  const match = /^#q\/(\d+)\/(.*)$/.exec(location.hash)
  if (!match) return
  const of = questions.get(Number(match[1]))
  let question
  try { question = decodeURIComponent(match[2]) } catch { return }
  const place = of ? [...of.keys()].indexOf(question) : -1
  if (place < 0) return
  benchmarkChoice.value = match[1]
  fillQuestions()
  questionChoice.value = String(place)
  modelChoice.value = ''
  statusChoice.value = ''
  show()
  byId('viewer').scrollIntoView()
  shown.focus()
}

function step(by) {
  const place = Number(questionChoice.value) + by
  if (place < 0 || place >= questionChoice.length) return
  questionChoice.value = String(place)
  show()
}

benchmarkChoice.replaceChildren(...[...questions.keys()].map((b) => option(b, benchmarks[b])))
modelChoice.replaceChildren(option('', 'all models'), ...models.map((model, i) => option(i, model)))
benchmarkChoice.addEventListener('change', () => { fillQuestions(); show() })
for (const choice of [questionChoice, modelChoice, statusChoice]) choice.addEventListener('change', show)
byId('previous').addEventListener('click', () => step(-1))
byId('next').addEventListener('click', () => step(1))
window.addEventListener('hashchange', follow)
fillQuestions()
show()
follow()
`
