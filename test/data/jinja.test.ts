import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { JinjaTemplate } from '../../lib/data/jinja/template.js'
import type { Value } from '../../lib/data/jinja/values.js'
import { fromJson } from '../../lib/data/jinjaValues.js'
import { parseJson } from '../../lib/data/parseJson.js'

const fixture = parseJson(readFileSync(new URL('./fixtures/jinja.json', import.meta.url), 'utf8')) as {
  variables: unknown
  cases: [template: string, expected: string | null][]
}
const variables = fromJson(fixture.variables) as Map<string, Value>
const render = (template: string, given = variables) => new JinjaTemplate(template).render(given)

test.each(fixture.cases)("%j is rendered as Python's Jinja renders it", (template, expected) => {
  if (expected === null) expect(() => render(template)).toThrow(expect.objectContaining({ name: 'JinjaError' }))
  else expect(render(template)).toBe(expected)
})

test('marks stand around what the model writes, also in a macro and in a loop that is left', () => {
  const template =
    "{% macro say(t) %}{% generation %}{{ t }}{% endgeneration %}{% endmacro %}{% for x in 'ab' %}{{ say(x) }}" +
    "{% generation %}{% if x == 'b' %}{% break %}{% endif %}!{% endgeneration %}{% endfor %}"
  expect(new JinjaTemplate(template).render(new Map(), ['<', '>'])).toBe('<a><!><b><>')
  expect(render(template)).toBe('a!b')
})

describe('refuses, with what is wrong and where', () => {
  test.each([
    ['a\n{% if %}', 'Expected an expression but found blockEnd (line 2)'],
    ["\n\n{% include 'x' %}", 'The tag {% include %} is unknown here (line 3)'],
    ['{% for x in y %}', 'The template ends where {% endfor %} or {% else %} was expected (line 1)'],
    ['{{ (1 }}', 'Unexpected }, expected ) (line 1)'],
    ['{% break %}', 'stands outside of a loop'],
  ])('%j', (template, message) => {
    expect(() => new JinjaTemplate(template)).toThrow(message)
  })

  test.each([
    ["{{ strftime_now('%d %b %Y') }}", 'it asks for the date of the day'],
    ["{{ raise_exception('no ' ~ n) }}", 'no 5'],
    ['{{ l.append(1) }}', "access to attribute 'append' of 'list' object is unsafe"],
    ['{{ nothing.x }}', "'nothing' is undefined"],
  ])('%j while it is rendered', (template, message) => {
    expect(() => render(template)).toThrow(message)
  })
})
