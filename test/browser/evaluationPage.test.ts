import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { analyse } from '../../lib/evaluate/analysis/analyse.js'
import { writeEvaluationReport } from '../../lib/report/evaluation/writeReport.js'
import { BrowserPage } from '../support/browser.js'
import { benchmarkOf, outcomesOf } from '../support/outcomes.js'
import { transcriptOf } from '../support/transcripts.js'

/** Each would change the page's title, write to the console or ask the network if it came to life. */
const hostile = [
  '<script>document.title = "owned"</script>',
  '</script><script>document.title = "owned"</script>',
  '<!--<script>',
  '--><script>document.title = "owned"</script>',
  '<img src="http://127.0.0.1:9/x.png" onerror="document.title = \'owned\'">',
  '<svg/onload=document.title="owned">',
  '</pre></details></div><iframe src="javascript:parent.document.title=\'owned\'"></iframe>',
  '<a href="javascript:document.title=\'owned\'">here</a>',
  '<link rel="stylesheet" href="http://127.0.0.1:9/x.css"><style>body { display: none }</style>',
  '<base href="http://127.0.0.1:9/"><meta http-equiv="refresh" content="0; url=http://127.0.0.1:9/">',
  '"}]}</script><script>document.title = "owned"</script>',
  '\u2028document.title = "owned"\u2029',
  '\u001b]0;owned\u0007\u001b[2J',
  'abc\u202egnihton\u2066',
  '\ud800 and \u0000 and \ufeff',
  '&lt;script&gt; document.title = "owned" `',
]
const everything = hostile.join('\n')
const hostileName = '"><script>document.title = "owned"</script>'

const directory = mkdtempSync(join(tmpdir(), 'branchmerge-page-'))
const address = pathToFileURL(join(directory, 'report.html')).href
let page: BrowserPage
/** Somebody who listens. */
let heard = 0
const listener = createServer((_, response) => {
  heard++
  response.end()
})

beforeAll(async () => {
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const outcomes = [
    ...outcomesOf('base', { a: '0', b: '1', [hostileName]: '1', 'ünï/cöde #?%': '1' }),
    ...outcomesOf('merged', { a: '1', b: '1', [hostileName]: '0', 'ünï/cöde #?%': '0' }),
    ...outcomesOf(hostileName, { a: '1', b: '1', [hostileName]: '0' }),
    ...outcomesOf('base', { secret: '0' }, { benchmark: 'gpqa' }),
    ...outcomesOf('merged', { secret: '1' }, { benchmark: 'gpqa' }),
  ]
  const results = await analyse(outcomes, {
    models: ['base', 'merged', hostileName],
    benchmarks: [benchmarkOf('aime24', { notes: [everything] }), benchmarkOf('gpqa', { confidential: true })],
    baseline: 'base',
    provenance: { note: everything },
  })
  const transcripts = outcomes.map((outcome) =>
    outcome.benchmark === 'gpqa'
      ? transcriptOf(outcome, { prompt: 'TOP SECRET', reasoning: 'SECRET too', text: 'SECRET', reference: 'SECRET' })
      : transcriptOf(outcome, {
          prompt: everything,
          reasoning: everything,
          text: everything,
          reference: everything,
          rule: everything,
          extracted: everything,
        }),
  )
  await writeEvaluationReport(results, transcripts, directory)
  page = await BrowserPage.start()
})

afterAll(async () => {
  await page?.close()
  listener.close()
  rmSync(directory, { recursive: true })
})

beforeEach(async () => {
  await page.open('about:blank')
  page.messages.length = 0
  page.requests.length = 0
  await page.open(address)
})

const texts = (selector: string) =>
  page.evaluate<string[]>(`[...document.querySelectorAll(${JSON.stringify(selector)})].map((each) => each.textContent)`)
const click = (text: string, selector: string) =>
  page.evaluate<void>(
    `[...document.querySelectorAll(${JSON.stringify(selector)})].find((each) => each.textContent === ${JSON.stringify(text)}).click()`,
  )
/** Opens what is folded and waits until its content stands. */
const unfold = () =>
  page.evaluate<number>(`(async () => {
    const all = [...document.querySelectorAll('#shown details')]
    for (const each of all) each.open = true
    while (all.some((each) => each.childElementCount < 2)) await new Promise(requestAnimationFrame)
    return all.length
  })()`)

test('texts of models do nothing: they are shown as text, with escapes for what nobody sees', async () => {
  expect(await unfold()).toBe(3)
  const shown = await texts('#shown pre')
  expect(shown.length).toBe(3 * 4)
  const unseen = ['\u2028', '\u2029', '\u001b', '\u0007', '\u202e', '\u2066', '\u0000', '\ufeff', '\ud800']
  const expected = unseen.reduce((text, c) => text.replaceAll(c, `\\u{${c.charCodeAt(0).toString(16)}}`), everything)
  for (const text of shown) expect(text).toBe(expected)
  expect(await page.evaluate('document.title')).toBe('Evaluation')
  for (const name of ['img', 'iframe', 'base', 'link', 'a[href^="javascript"]'])
    expect(await page.evaluate(`document.querySelectorAll('${name}').length`)).toBe(0)
  expect(await page.evaluate('document.scripts.length')).toBe(2)
  expect(page.messages).toEqual([])
})

test('nothing but the page itself is asked for', async () => {
  await unfold()
  expect(page.requests.filter((request) => request !== 'about:blank')).toEqual([address])
})

test('the policy stops scripts, markup, styles and requests that somebody slips in', async () => {
  const there = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`
  const tried = await page.evaluate<string[]>(`(async () => {
    const failed = []
    try { document.body.innerHTML = '<img src=x onerror=1>' } catch { failed.push('innerHTML') }
    try { await fetch('${there}') } catch { failed.push('fetch') }
    const image = document.createElement('img')
    const refused = new Promise((resolve) => image.addEventListener('error', resolve))
    document.addEventListener('securitypolicyviolation', (event) => failed.push(event.effectiveDirective))
    image.src = '${there}/x.png'
    document.body.append(image)
    await refused
    const button = document.createElement('button')
    button.setAttribute('data-x', '')
    try { button.setAttribute('onclick', 'document.title = "owned"') } catch { failed.push('onclick') }
    button.click()
    await new Promise((resolve) => setTimeout(resolve, 50))
    return failed
  })()`)
  expect(tried).toEqual(expect.arrayContaining(['innerHTML', 'fetch', 'img-src', 'connect-src']))
  expect(await page.evaluate('document.title')).toBe('Evaluation')
  expect(heard).toBe(0)
})

test('columns sort by number, both ways, and what is missing comes last', async () => {
  const scores = () =>
    page.evaluate<string[]>(
      `[...document.querySelector('table').tBodies[0].rows].map((row) => row.cells[6].textContent)`,
    )
  const header = (i: number) => `document.querySelector('table th[data-column="${i}"]')`
  // Column 6 is the second benchmark's score, which the third model has not.
  const before = await scores()
  expect(before[2]).toBe('-')
  await page.evaluate(`${header(6)}.querySelector('button').click()`)
  const ascending = await scores()
  expect(await page.evaluate(`${header(6)}.getAttribute('aria-sort')`)).toBe('ascending')
  await page.evaluate(`${header(6)}.querySelector('button').click()`)
  const descending = await scores()
  expect(ascending[0]).toMatch(/^0\.0 /)
  expect(descending[0]).toMatch(/^100\.0 /)
  expect([ascending[2], descending[2]]).toEqual(['-', '-'])
  await click('model', 'table:first-of-type th button')
  expect(await page.evaluate(`document.querySelector('table').tBodies[0].rows[1].cells[0].textContent`)).toBe('base')
})

test('a link of a question that was lost shows its transcripts', async () => {
  for (const question of ['a', hostileName, 'ünï/cöde #?%']) {
    await click(question, 'details a')
    await page.evaluate('new Promise((resolve) => setTimeout(resolve, 50))')
    expect(await texts('#shown h3')).toEqual([`aime24, ${question}`])
    expect((await texts('#shown summary'))[0]).toContain('base, trial 0')
  }
})

test('transcripts are chosen by benchmark, question, model and right or wrong', async () => {
  const choose = (id: string, value: string) =>
    page.evaluate(
      `(() => { const it = document.getElementById('${id}'); it.value = '${value}'; it.dispatchEvent(new Event('change')) })()`,
    )
  await click('a', 'details a')
  await page.evaluate('new Promise((resolve) => setTimeout(resolve, 50))')
  await choose('choose-status', 'wrong')
  expect((await texts('#shown summary')).map((text) => text.slice(0, 13))).toEqual(['base, trial 0'])
  await choose('choose-status', '')
  await choose('choose-model', '1')
  expect(await texts('#shown summary')).toEqual(['merged, trial 0: correct, 1,000 tokens'])
  await choose('choose-model', '')
  await click('Next', 'button')
  expect(await texts('#shown h3')).toEqual(['aime24, b'])
  await click('Previous', 'button')
  expect(await texts('#shown h3')).toEqual(['aime24, a'])
})

test('the texts of a confidential benchmark are nowhere in the page', async () => {
  await page.evaluate(
    `(() => { const it = document.getElementById('choose-benchmark'); it.value = '1'; it.dispatchEvent(new Event('change')) })()`,
  )
  expect(await unfold()).toBe(2)
  expect((await texts('#shown p')).join()).toContain('not to be published')
  expect(await page.evaluate(`document.documentElement.outerHTML.includes('SECRET')`)).toBe(false)
})

test('everything that is used has a name for those who do not see it', async () => {
  const nameless =
    await page.evaluate<number>(`[...document.querySelectorAll('select, button, svg[role=img]')].filter((each) =>
    each.tagName === 'SELECT' ? each.labels.length === 0 :
    each.tagName === 'BUTTON' ? each.textContent === '' :
    (each.getAttribute('aria-labelledby') ?? '').split(' ').some((id) => !document.getElementById(id)?.textContent)).length`)
  expect(nameless).toBe(0)
  expect(await page.evaluate('document.documentElement.lang')).toBe('en')
})
