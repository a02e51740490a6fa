export interface XmlElement {
  name: string
  attributes: Record<string, string>
  children: (XmlElement | string)[]
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }

/** The part of XML 1.0 that a drawing needs (no prolog, comments, CDATA or namespaces), read strictly: anything else throws. */
export function parseXml(text: string): XmlElement {
  if (/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u.test(text))
    throw new Error('Not an XML character')
  const top: XmlElement = { name: '', attributes: {}, children: [] }
  const open = [top]
  const token = /<\/([\w-]+)>|<([\w-]+)((?: [\w:-]+="[^"<]*")*)(\/?)>|([^<]+)/uy
  const trimmed = text.trim()
  while (token.lastIndex < trimmed.length) {
    const at = token.lastIndex
    const match = token.exec(trimmed)
    const parent = open.at(-1)
    if (!match || !parent) throw new Error(`Not XML: ${trimmed.slice(at, at + 60)}`)
    const [, closing, opening, attributes = '', empty, content] = match
    if (content !== undefined) parent.children.push(decode(content))
    else if (closing !== undefined) {
      if (parent.name !== closing) throw new Error(`</${closing}> closes <${parent.name}>`)
      open.pop()
    } else {
      const element: XmlElement = { name: opening as string, attributes: readAttributes(attributes), children: [] }
      parent.children.push(element)
      if (empty === '') open.push(element)
    }
  }
  const [root] = top.children
  if (open.length !== 1 || top.children.length !== 1 || typeof root !== 'object')
    throw new Error('Expected one element')
  return root
}

function readAttributes(text: string): Record<string, string> {
  const pairs = [...text.matchAll(/ ([\w:-]+)="([^"]*)"/g)].map(([, name, value]) => [name, decode(value as string)])
  if (new Set(pairs.map(([name]) => name)).size < pairs.length) throw new Error(`An attribute twice:${text}`)
  return Object.fromEntries(pairs)
}

function decode(text: string): string {
  return text.replace(/&(?:([^;&\s]*);)?/g, (whole, name) => {
    const value = entities[name ?? '']
    if (value === undefined) throw new Error(`Unknown entity ${whole}`)
    return value
  })
}

/** All elements of that name, in order of the document. */
export function elementsOf(root: XmlElement, name: string): XmlElement[] {
  const below = root.children.flatMap((child) => (typeof child === 'string' ? [] : elementsOf(child, name)))
  return root.name === name ? [root, ...below] : below
}

export const textOf = ({ children }: XmlElement): string =>
  children.map((child) => (typeof child === 'string' ? child : textOf(child))).join('')
