-- What Persian needs and Pandoc does not do, the same on both routes (Quarto: at post-finalize).
--
--   digits        Persian in prose, captions, references and labels; Latin stays in code, math, addresses, Latin runs
--                 (a number right after a Latin word, as in "Python 3.11"), and whatever is marked dir=ltr
--   punctuation   between two Latin words («PyTorch، Adam») it gets U+200F, without which the two change places
--   superscripts  ۱۰⁻⁴ becomes a real superscript with Persian digits (the font has only some of ⁰–⁹)
--   \u200c        Quarto prints the repr of a string from an inline expression, each of its backslashes doubled (quarto-cli
--                 #11291): the escapes of half-spaces and isolates become characters again
--   code          left to right; Persian strings and comments inside it are isolated, so that they drag nothing along
--   tables        "left" means "at the start of the line", which is on the right here
--   lead-ins      Typst: the lines that end in a colon stay on the page of the list, formula or code that they introduce
--   page 1        page numbers in its table, what stands beside what, the front matter's statements
--   captions      HTML: the kind and number of a figure or table, up to the colon, stand out (class caption-label)
--   equations     HTML: thin spaces around log and its like; the number stands beside the formula, not in it; Typst: a text alternative (PDF/UA), room in cases

local typst = FORMAT:match("typst") ~= nil
local html = FORMAT:match("html") ~= nil
local stringify = pandoc.utils.stringify

local DIGIT, RAISED = {}, {}
for index, digit in ipairs { "۰", "۱", "۲", "۳", "۴", "۵", "۶", "۷", "۸", "۹" } do DIGIT[tostring(index - 1)] = digit end
for index, raised in ipairs { "⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹" } do RAISED[raised] = DIGIT[tostring(index - 1)] end
RAISED["⁻"] = "−"
local FSI, PDI = "\u{2068}", "\u{2069}"
local PERSIAN = "[\216-\219][\128-\191]"

local function persian_digits(text) return (text:gsub("%d", DIGIT)) end

local function unescape(text)
  if not text:find("\\", 1, true) then return text end
  local function character(code)
    local point = tonumber(code, 16)
    return point > 127 and utf8.char(point) or nil
  end
  return (text:gsub("\\+u(%x%x%x%x)", character):gsub("\\+x(%x%x)", character))
end

-- Str "۱۰⁻⁴" → Str "۱۰", Superscript "−۴"
local function raise(text)
  local out, run, raised = pandoc.Inlines {}, {}, false
  local function flush()
    if #run > 0 then
      local str = pandoc.Str(table.concat(run))
      out:insert(raised and pandoc.Superscript { str } or str)
      run = {}
    end
  end
  for _, point in utf8.codes(text) do
    local character = utf8.char(point)
    local is_raised = RAISED[character] ~= nil
    if is_raised ~= raised then flush(); raised = is_raised end
    run[#run + 1] = RAISED[character] or character
  end
  flush()
  return out
end

local function has_raised(text)
  for mark in pairs(RAISED) do
    if text:find(mark, 1, true) then return true end
  end
  return false
end

local function text_of(inline) return inline and inline.t ~= "Code" and inline.t ~= "Math" and stringify(inline) or "" end

-- «PyTorch،» before «Adam», a full stop before a sentence that begins in Latin
local function kept_apart(text, list, index)
  local body, mark = text:match("^(.-)([:%.])$")
  if text:match("،$") then body, mark = text:sub(1, -3), "،" end
  local blank, following = list[index + 1], list[index + 2]
  if not mark or text:match("^al%.$") or not blank or (blank.t ~= "Space" and blank.t ~= "SoftBreak") then return text end
  local latin = (body == "" and text_of(list[index - 1]) or body):match("%a[%w%)%-]*$")
  local next_text = text_of(following)
  return latin and (next_text:match("^[%w]") or next_text:match("^\219[\176-\185]")) and text .. "\u{200f}" or text
end

local function inlines(list)
  local out, after_latin = pandoc.Inlines {}, false
  for index, inline in ipairs(list) do
    if inline.t == "Str" then
      local text = kept_apart(unescape(inline.text), list, index)
      local latin = text:match("%a") ~= nil
      if not latin and not after_latin then text = persian_digits(text) end
      after_latin = latin or (after_latin and text:match("^[%d%.]*$") ~= nil)
      if not latin and has_raised(text) then out:extend(raise(text)) else out:insert(pandoc.Str(text)) end
    else
      if inline.t ~= "Space" and inline.t ~= "SoftBreak" then after_latin = false end
      out:insert(inline)
    end
  end
  return out
end

-- code ------------------------------------------------------------------------------------------------------------

local function isolate_line(line)
  if not line:match(PERSIAN) then return line end
  local function quoted(open, body, close)
    if body:match(PERSIAN) then return open .. FSI .. body .. PDI .. close end
  end
  line = line:gsub('("+)([^"]-)("+)', quoted):gsub("(')([^']*)(')", quoted)
  return (line:gsub("(#%s*)([^\"'#]*)$", function(mark, comment)
    if comment:match(PERSIAN) then return mark .. FSI .. comment .. PDI end
  end))
end

local function isolate(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = isolate_line(line) end
  return table.concat(lines, "\n")
end

local function typst_string(text)
  return '"' .. text:gsub("\\", "\\\\"):gsub('"', '\\"'):gsub("\n", "\\n"):gsub("\t", "    ") .. '"'
end

local function code_block(block)
  local language = block.classes:find_if(function(class) return class == "python" or class == "bash" or class == "text" end)
  language = language or block.classes[1]
  if language == "cell-code" or language == "output" then language = nil end
  if typst then
    local lang = language and (', lang: "' .. language .. '"') or ""
    return pandoc.RawBlock("typst", "#raw(block: true" .. lang .. ", " .. typst_string(isolate(block.text)) .. ")")
  end
  block.text = isolate(block.text)
  if html then block.attributes.dir = "ltr" end
  return block
end

local function code(inline)
  if html then inline.attributes.dir = "ltr"; return inline end
  -- Written here, because Quarto ≥ 1.9 colours it as a token and earlier versions do not.
  if typst then return pandoc.RawInline("typst", "#raw(" .. typst_string(inline.text) .. ");") end
end

-- the rest --------------------------------------------------------------------------------------------------------

local SHORT_ROWS, SHORT_TEXT = 12, 1500 -- a table no longer than this (rows, characters) is not broken over pages

-- A screen has no pages: the column of their numbers, empty in HTML, goes, and with it the widths that reckoned with it.
local function without_pages(tbl)
  for column = #tbl.colspecs, 1, -1 do
    local empty, rows = true, 0
    for _, body in ipairs(tbl.bodies) do
      for _, row in ipairs(body.body) do
        local cell = row.cells[column]
        rows = rows + 1
        empty = empty and cell and #cell.contents > 0 and stringify(cell.contents) == "\u{2060}"
      end
    end
    if empty and rows > 0 then
      tbl.classes:insert("answers")
      tbl.colspecs:remove(column)
      tbl.colspecs = tbl.colspecs:map(function(spec) return { spec[1] } end)
      for _, row in ipairs(tbl.head.rows) do row.cells:remove(column) end
      for _, body in ipairs(tbl.bodies) do
        for _, row in ipairs(body.body) do row.cells:remove(column) end
      end
    end
  end
  return tbl
end

local function align(tbl)
  if html then tbl = without_pages(tbl) end
  tbl.colspecs = tbl.colspecs:map(function(spec)
    if spec[1] == "AlignLeft" then return { "AlignDefault", spec[2] } end
    return spec
  end)
  if not typst then return tbl end
  local rows = 0
  for _, body in ipairs(tbl.bodies) do rows = rows + #body.body end
  local long = rows > SHORT_ROWS or #stringify(tbl) > 2 * SHORT_TEXT -- two bytes a Persian letter
  return { pandoc.RawBlock("typst", long and "#fitted[" or "#block(breakable: false, fitted["), tbl, pandoc.RawBlock("typst", long and "]" or "])") }
end

-- Quarto writes the number into the formula: \qquad(7)
local function equation(span)
  local math = span.content[1]
  if not (html and span.identifier:match("^eq%-") and math and math.t == "Math") then return nil end
  local text, number = math.text:match("^(.-)%s*\\qquad%((%d+)%)%s*$")
  if not text then return nil end
  math.text = text
  span.classes:insert("equation")
  span.content = { math, pandoc.Span({ pandoc.Str("(" .. persian_digits(number) .. ")") }, pandoc.Attr("", { "eq-number" })) }
  return span
end

-- Quarto's own call for a numbered formula has no text alternative, unless the source spells one out.
local function alternatives(list)
  for index, inline in ipairs(list) do
    local following = list[index + 1]
    if inline.t == "RawInline" and following and following.t == "Math" then
      inline.text = inline.text:gsub("(equation%-numbering), %[ $", function(numbering)
        return numbering .. ", alt: " .. typst_string((following.text:gsub("%s+", " "))) .. ", [ "
      end)
    end
  end
  return list
end

-- Names that Pandoc 3.9 writes and Typst 0.14/0.15 renamed: the characters themselves are the same in every version.
local RENAMED = {
  { "sect%.big", "⋂" }, { "sect%.sq", "⊓" }, { "sect", "∩" }, { "minus%.circle", "⊖" }, { "times%.circle%.big", "⨂" },
  { "times%.circle", "⊗" }, { "dot%.circle%.big", "⨀" }, { "dot%.circle", "⊙" }, { "lt%.tri%.eq", "⊴" },
  { "gt%.tri%.eq", "⊵" }, { "lt%.tri", "⊲" }, { "gt%.tri", "⊳" }, { "tack%.r%.double", "⊨" },
}

-- MathML has no spaces around the name of a function, where TeX and Typst set thin ones: n log n, not nlogn.
local FUNCTIONS = { "\\log", "\\ln", "\\exp", "\\max", "\\min", "\\tanh", "\\sin", "\\cos", "\\det" }

local function spaced(text)
  for _, name in ipairs(FUNCTIONS) do
    text = text:gsub("([%w%)%]}])(%s*" .. name .. "%f[%A])", "%1\\,%2")
    for _, limits in ipairs { "", "_%w", "_%b{}" } do
      text = text:gsub("(" .. name .. limits .. ")%s+([%a%d\\][%a]*)", function(call, following)
        local opens = following:match("^\\[bB]ig") or following == "\\left" or following:match("^\\$")
        if not opens then return call .. "\\, " .. following end
      end)
    end
  end
  return text
end

local function math(inline)
  if html then inline.text = spaced(inline.text); return inline end
  if not typst then return nil end
  local alternative = inline.text
  if inline.text:find("\\begin{cases}", 1, true) then -- Pandoc's Typst writer sets the condition against the value
    inline.text = inline.text:gsub("\\begin{cases}.-\\end{cases}", function(cases) return (cases:gsub("&", "&\\quad ")) end)
  end
  -- It also takes the bars of ‖x‖ for a relation, with limits above and below.
  inline.text = inline.text:gsub("\\left%s*\\|", "\\lVert "):gsub("\\right%s*\\|", "\\rVert "):gsub("\\|(.-)\\|", "\\lVert %1\\rVert ")
  local formula = pandoc.write(pandoc.Pandoc { pandoc.Plain { inline } }, "typst"):gsub("%s+$", "")
  for _, pair in ipairs(RENAMED) do formula = formula:gsub("%f[%w]" .. pair[1] .. "%f[^%w%.]", pair[2]) end
  return pandoc.RawInline("typst", "#described(" .. typst_string((alternative:gsub("%s+", " "))) .. ")[" .. formula .. "];")
end

local function directed(element, wrap)
  local dir, lang = element.attributes.dir, element.attributes.lang
  if not (typst and dir) then return element end
  element.attributes.dir, element.attributes.lang = nil, nil
  return wrap(element, "dir: " .. dir .. (lang and ', lang: "' .. lang:sub(1, 2) .. '"' or ""))
end

local function directed_div(div)
  return directed(div, function(element, settings)
    local out = pandoc.Blocks { pandoc.RawBlock("typst", "#block(width: 100%)[#set text(" .. settings .. ")") }
    out:extend(element.content)
    out:insert(pandoc.RawBlock("typst", "]"))
    return out
  end)
end

local function directed_span(span)
  return directed(span, function(element, settings)
    local out = pandoc.Inlines { pandoc.RawInline("typst", "#text(" .. settings .. ")["), pandoc.Str("\u{2066}") }
    out:extend(element.content)
    out:extend { pandoc.Str("\u{2069}"), pandoc.RawInline("typst", "];") }
    return out
  end)
end

-- What does not hold or died is red in both formats, what was not checked grey; HTML has a style for the classes. ``failed``,
-- ``unchecked``: a check (``rubric.table``); ``unclaimed``, ``unknown``: a sentence, a value (``genmodels.claims``);
-- ``dead``: a chunk, by its error's output.
local COLOURS = {
  failed = "#b42318", unclaimed = "#b42318", unknown = "#b42318", dead = "#b42318", unchecked = "#5b6572",
}
local count = { claim = 0, unclaimed = 0, unknown = 0, dead = 0 }

local function verdict_span(span)
  local colour = typst and COLOURS[span.classes[1]]
  if not colour then return nil end
  local out = pandoc.Inlines { pandoc.RawInline("typst", '#text(fill: rgb("' .. colour .. '"))[') }
  out:extend(span.content)
  out:insert(pandoc.RawInline("typst", "];"))
  return out
end

-- The output of a chunk that raised, one line: Quarto gives the traceback (coloured by raw HTML there), the other route its
-- last line.
local ENTITIES = { ["&lt;"] = "<", ["&gt;"] = ">", ["&quot;"] = '"', ["&#39;"] = "'", ["&amp;"] = "&" }
local function dead_div(div)
  local text, last = "", ""
  local function collect(block) text = text .. "\n" .. block.text end
  div:walk { CodeBlock = collect, RawBlock = function(block)
    collect { text = block.text:gsub("<[^>]*>", ""):gsub("&[#%w]+;", ENTITIES) }
  end }
  for line in text:gsub("\27%[[%d;]*m", ""):gmatch("[^\n]+") do
    if line:match("%S") then last = line end
  end
  local words = pandoc.Strong { pandoc.Str("✗"), pandoc.Space(), pandoc.Str("این"), pandoc.Space(), pandoc.Str("قطعهٔ"), pandoc.Space(),
    pandoc.Str("کد"), pandoc.Space(), pandoc.Str("اجرا"), pandoc.Space(), pandoc.Str("نشد:"), pandoc.Space() }
  return pandoc.Para { pandoc.Span({ words, pandoc.Code(last) }, pandoc.Attr("", { "dead" })) }
end

local function counted(blocks)
  return blocks:walk {
    Span = function(span)
      local kind = span.classes[1]
      if count[kind] then count[kind] = count[kind] + 1 end
      if kind == "claim" then return {} end
    end,
    Div = function(div)
      if not div.classes:includes("cell-output-error") then return nil end
      count.dead = count.dead + 1
      return dead_div(div)
    end,
  }
end

-- What page 1 says of all this, in place of ``[]{.claims-count}``.
local function verdict_on_claims(span)
  if not span.classes:includes("claims-count") then return nil end
  local all, parts = count.claim + count.unclaimed, {}
  if count.unclaimed > 0 then parts[#parts + 1] = count.unclaimed .. " جمله از " .. all .. " جملهٔ سنجیده با نتیجهٔ این اجرا نمی‌خواند یا سنجیدنی نبود" end
  if count.dead > 0 then parts[#parts + 1] = count.dead .. " قطعهٔ کد اجرا نشد" end
  if count.unknown > 0 then parts[#parts + 1] = count.unknown .. " مقدار به دست نیامد" end
  if #parts == 0 then
    span.content = pandoc.Inlines(pandoc.Str(persian_digits("همهٔ " .. all .. " جملهٔ سنجیده با نتیجهٔ این اجرا می‌خوانند.")))
    return span
  end
  local told = "✗ " .. table.concat(parts, "؛ ") .. ". هر یک در جای خود سرخ نشان داده شده است."
  return pandoc.Span({ pandoc.Strong { pandoc.Str(persian_digits(told)) } }, pandoc.Attr("", { "unclaimed" }))
end

-- ``[]{.collaborators}`` and ``[]{.ai-statement}``: what the front matter says of them.
local function front_matter(meta)
  return function(span)
    for _, key in ipairs { "collaborators", "ai-statement" } do
      if span.classes:includes(key) then
        local told = meta[key]
        if pandoc.utils.type(told) == "Blocks" then told = pandoc.utils.blocks_to_inlines(told) end
        if pandoc.utils.type(told) == "List" then told = pandoc.Inlines(table.concat(told:map(stringify), "، ")) end
        span.content = told and stringify(told) ~= "" and pandoc.Inlines(told) or pandoc.Inlines("—")
        return span
      end
    end
  end
end

-- ``[]{.page-of to=sec-1}``: paper has pages, a screen has none.
local function page_of(span)
  if not span.classes:includes("page-of") then return nil end
  return typst and pandoc.RawInline("typst", "#page-of(<" .. span.attributes.to .. ">);") or pandoc.Str("\u{2060}")
end

-- ``::: {.beside}``: the first block, and beside it the others.
local function side_by_side(div)
  if #div.content == 0 or not div.classes:includes("beside") then return nil end
  local first = div.content:remove(1)
  if not typst then
    div.content = { first, pandoc.Div(div.content) }
    return div
  end
  local out = pandoc.Blocks { pandoc.RawBlock("typst", "#beside["), first, pandoc.RawBlock("typst", "][") }
  out:extend(div.content)
  out:insert(pandoc.RawBlock("typst", "]"))
  return out
end

-- What a line that ends in a colon introduces: a list, a formula, code.
local SHORT_LEAD = 450 -- bytes, some three lines; a longer paragraph would take much of a page with it
local function led(block)
  if block.t == "BulletList" or block.t == "OrderedList" or block.t == "CodeBlock" then return true end
  if block.t == "RawBlock" then return block.text:match("^#raw%(block: true") ~= nil end
  if block.t == "Div" then return #block.content > 0 and led(block.content[1]) end
  local first = block.t == "Para" and block.content[1]
  if first and first.t == "Span" and #first.content > 0 then first = first.content[1] end
  return first and (first.t == "Math" and first.mathtype == "DisplayMath" or first.t == "RawInline" and first.text:match("equation%(") ~= nil)
end

local function with_lead_ins(blocks)
  if not typst then return nil end
  local out = pandoc.Blocks {}
  for index, block in ipairs(blocks) do
    local following = blocks[index + 1]
    if following and block.t == "Para" and stringify(block):match(":$") and #stringify(block) < SHORT_LEAD and led(following) then
      out:extend { pandoc.RawBlock("typst", "#lead-in["), block, pandoc.RawBlock("typst", "]") }
    else
      out:insert(block)
    end
  end
  return out
end

local function with_labels(blocks) -- «جدول ۱:» at the beginning of a caption
  for index, block in ipairs(blocks) do
    local caption = blocks[index + 1]
    if block.t == "RawBlock" and block.text:match("^%s*<figcaption") and caption and caption.content then
      local label, rest = pandoc.Inlines {}, pandoc.Inlines {}
      for _, inline in ipairs(caption.content) do
        local ended = #label > 0 and stringify(label[#label]):match(":$")
        if #rest > 0 or ended then rest:insert(inline) else label:insert(inline) end
      end
      if #rest > 0 then caption.content = pandoc.Inlines { pandoc.Span(label, pandoc.Attr("", { "caption-label" })) } .. rest end
    end
  end
  return blocks
end

local walker = {
  traverse = "topdown",
  Blocks = function(blocks) return html and with_labels(blocks) or with_lead_ins(blocks) end,
  Inlines = function(list) return inlines(typst and alternatives(list) or list) end,
  CodeBlock = code_block,
  Code = code,
  Math = math,
  Link = function(link) -- an address is not prose
    if stringify(link.content) == link.target then return link, false end
  end,
  Span = function(span)
    if span.attributes.dir == "ltr" then return directed_span(span), false end
    return equation(span) or page_of(span) or verdict_span(span) or directed_span(span)
  end,
  Div = function(div)
    if div.attributes.dir == "ltr" then return directed_div(div), false end
    return side_by_side(div) or directed_div(div)
  end,
}

local inside = {}
for name, handler in pairs(walker) do inside[name] = handler end
function walker.Table(tbl) return align(tbl:walk(inside)), false end

local function persian_inlines(value)
  return pandoc.utils.type(value) == "Inlines" and inlines(value) or value
end

-- The student's number has no place of its own in Quarto's title block: it follows the (first) author's name.
local function student(meta)
  local number = meta["student-id"]
  local authors = meta["by-author"] or meta.author
  if not number or not authors then return end
  local name = authors[1] and authors[1].name
  local target = name and name.literal
  if pandoc.utils.type(target) == "Inlines" then
    target:extend { pandoc.Space(), pandoc.Str("(" .. persian_digits(stringify(number)) .. ")") }
    name.literal = target
  end
end

-- `live: false` in the front matter leaves the models out of the page: the static figures stay.
local function without_models(blocks)
  return blocks:walk { RawBlock = function(block)
    if block.text:find('id="data%-writers') or block.text:find('id="data%-painters') then return {} end
  end }
end

function Pandoc(doc)
  if doc.meta.live == false then doc.blocks = without_models(doc.blocks) end
  for _, key in ipairs { "title", "subtitle", "date" } do
    if doc.meta[key] then doc.meta[key] = persian_inlines(doc.meta[key]) end
  end
  if pandoc.utils.type(doc.meta.abstract) == "Blocks" then doc.meta.abstract = doc.meta.abstract:walk(walker) end
  student(doc.meta)
  doc.blocks = counted(doc.blocks):walk { Span = verdict_on_claims }:walk { Span = front_matter(doc.meta) }:walk(walker) -- not doc:walk, which would turn the digits of toc-depth and other settings too
  return doc
end
