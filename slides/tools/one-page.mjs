// The workshop on a sheet of paper, English in front, zh-TW behind: target/slides/one-page.pdf. The
// chapters' pictures, the demos' commands, and the table of what to ask here and in Cilium.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PDFDocument } from 'pdf-lib'
import { castFile, castSeconds, told } from './cast.mjs'
import { ALL, ROOT } from './deck.mjs'
import { finish, inline, paper } from './paper.mjs'
import { repositoryOf } from './repository.mjs'

const CHAPTERS = { ch1: ['cni-io', 'add-order'], ch2: ['kernel-path', 'ebpf-pipeline'], ch3: ['policy-to-map', 'lookup'] }
const LANGUAGES = {
  'en': { title: 'An eBPF CNI plugin, by hand', lab: '`lab` is short for `./scripts/lab`.', lookup: 'chapters/ch3-identity-policy/TROUBLESHOOTING.md' },
  'zh-TW': { title: '親手做一個 eBPF CNI 外掛', lab: '`lab` 是 `./scripts/lab` 的簡寫。', lookup: 'chapters/ch3-identity-policy/TROUBLESHOOTING.zh-TW.md' },
}

const missing = Object.keys(CHAPTERS).flatMap(name => Object.keys(LANGUAGES).filter(language => castSeconds(name, language) === undefined).map(language => castFile(name, language)))
if (missing.length) {
  console.error(`there is no recording ${missing.join(', ')}`)
  process.exit(1)
}
const read = path => readFile(join(ROOT, '..', path), 'utf8')
const address = repositoryOf(await read('Cargo.toml'))

/** The first table of a document. */
function table(markdown) {
  const rows = markdown.match(/^\|.*\|\n(\|.*\|\n)+/m)[0].trim().split('\n').filter(row => !/^\|[-|: ]+\|$/.test(row))
  const cells = row => row.slice(1, -1).split(/(?<!\\)\|/).map(cell => inline(cell.trim().replaceAll('\\|', '|')))
  return rows.map((row, i) => `<tr>${cells(row).map(cell => (i ? `<td>${cell}</td>` : `<th>${cell}</th>`)).join('')}</tr>`).join('')
}

/** A picture's text is in the page's fonts, which an image would not see. */
const picture = async (name, language) => (await read(`docs/pictures/${name}.${language}.svg`)).replace('<svg', '<svg preserveAspectRatio="xMinYMid"')

async function chapter(name, language) {
  const { title, steps } = told(name, language)
  const step = ({ say, commands }) => `<p>${inline(say)}</p><pre>${commands.map(command => inline(`$ ${command}`)).join('\n')}</pre>`
  const pictures = await Promise.all(CHAPTERS[name].map(it => picture(it, language)))
  return `<h2>${inline(title)}</h2><div class="chapter"><div>${pictures.join('')}</div><div>${steps.map(step).join('')}</div></div>`
}

async function side(language, { title, lab, lookup }) {
  const chapters = await Promise.all(Object.keys(CHAPTERS).map(name => chapter(name, language)))
  return `<section lang="${language}"><div class="fit"><h1>${title}<small>${address}</small></h1><p>${inline(lab)}</p>
${chapters.join('\n')}<table>${table(await read(lookup))}</table></div></section>`
}

const sides = await Promise.all(Object.entries(LANGUAGES).map(it => side(...it)))
const style = `
section { height: 297mm; padding: 8mm 9mm; break-after: page }
section:last-of-type { break-after: auto }
.fit { height: 281mm; line-height: 1.3 }
h1 { margin: 0; font-size: 2.2em }
h1 small { float: right; font-size: 0.5em; font-weight: 400 }
h2 { margin: 0.7em 0 0.2em; font-size: 1.3em; color: #b63a04 }
.chapter { display: grid; grid-template-columns: 1fr 92mm; gap: 4mm; align-items: center }
.chapter .fig { --sans: 'Noto Sans TC Variable', sans-serif; --mono: Iosevka, 'Noto Sans TC Variable', monospace; display: block; max-height: 34mm }
p { margin: 0.25em 0 0 }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-weight: 700 }
table { width: 100%; border-collapse: collapse; margin-top: 1em }
th, td { text-align: left; padding: 0.15em 0.6em 0.15em 0; border-bottom: 0.2mm solid #b8c2cf; vertical-align: top }`
const { pdf, problems } = await paper('one-page', { style, body: sides.join('\n'), sizes: [9, 5.5] })
const pages = (await PDFDocument.load(pdf)).getPageCount()
if (pages !== sides.length)
  problems.push(`one-page.pdf has ${pages} pages`)
finish(join(ALL, 'one-page.pdf'), pages, problems)
