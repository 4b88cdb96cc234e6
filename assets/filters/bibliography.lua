-- Citations and bibliography, the same on both routes (Quarto: at post-finalize; `python -m genmodels render`: after subset.lua).
--
-- Citeproc runs twice: once with the document's Persian locale, for the marks in the text, and once in English, for the
-- entries that are written in Latin script; those become left-to-right blocks. Afterwards no Cite is left and the metadata
-- names no bibliography, so that neither Pandoc's citeproc nor Typst's own bibliography has anything to add.
-- A mark begins with U+200F: after a Latin word it would be set before it («[۴۰] top-k»).
-- An unknown key, or a reference that Quarto could not resolve, is an error.

local stringify = pandoc.utils.stringify

local function fail(message, token)
  message = message .. " ⟨" .. token .. "⟩"
  error(message, 0) -- Quarto puts a function in its place that only prints
  assert(false, message)
end

local function is_persian(text) return text:match("[\216-\219][\128-\191]") ~= nil end

-- Quarto's Typst route keeps the paths as raw inlines; citeproc wants plain strings.
local function path_of(value)
  if type(value) == "string" then return value end
  for _, inline in ipairs(value) do
    if inline.t == "RawInline" then return inline.text end
  end
  return stringify(value)
end

local function plain_paths(bibliography)
  if pandoc.utils.type(bibliography) == "List" then return bibliography:map(path_of) end
  return path_of(bibliography)
end

local function check_keys(doc)
  local known = {}
  for _, reference in ipairs(pandoc.utils.references(doc)) do known[reference.id] = true end
  doc:walk { Cite = function(cite)
    for _, citation in ipairs(cite.citations) do
      if not known[citation.id] then fail("unknown citation key @" .. citation.id, "@" .. citation.id) end
    end
  end }
end

local function check_references(doc) -- Quarto warns, and prints a bold ?@fig-x
  doc:walk { Strong = function(strong)
    local id = stringify(strong):match("^%?(@%a+%-.+)$")
    if id then fail("unresolved cross-reference " .. id, id) end
  end }
end

-- An entry as Div.bib-entry: its label and its text apart, so that each format can lay them out.
local function entry_parts(entry)
  local label, text = nil, pandoc.Inlines {}
  for _, block in ipairs(entry.content) do
    for _, inline in ipairs(block.content or {}) do
      if inline.t == "Span" and inline.classes:includes("csl-left-margin") then
        label = inline.content
      elseif inline.t == "Span" and inline.classes:includes("csl-right-inline") then
        text:extend(inline.content)
      else
        text:insert(inline)
      end
    end
  end
  return label or pandoc.Inlines {}, text
end

local MARKS = { [","] = "،", [";"] = "؛" }

local function persian_marks(inlines)
  return inlines:walk { Str = function(str)
    if not str.text:match("%a") then return pandoc.Str((str.text:gsub("[,;]", MARKS))) end
  end }
end

local function entry(div, english)
  local latin = english[div.identifier]
  local in_latin = latin ~= nil and not is_persian(stringify(latin)) -- not by `==`: elements of equal content are equal
  local label, text = entry_parts(in_latin and latin or div)
  local attributes = in_latin and { { "lang", "en" }, { "dir", "ltr" } } or { { "lang", "fa" }, { "dir", "rtl" } }
  if not in_latin then text = persian_marks(text) end
  label = entry_parts(div) -- the mark in the text is Persian, so is the label here
  if FORMAT:match("typst") then
    return pandoc.Div({
      pandoc.RawBlock("typst", "#bibentry(["), pandoc.Plain(label), pandoc.RawBlock("typst", "], ["),
      pandoc.Div({ pandoc.Plain(text) }, pandoc.Attr("", { "bib-text" }, attributes)), pandoc.RawBlock("typst", "])"),
    }, pandoc.Attr(div.identifier, { "bib-entry" }))
  end
  return pandoc.Div({
    pandoc.Div({ pandoc.Plain(label) }, pandoc.Attr("", { "bib-label" })),
    pandoc.Div({ pandoc.Plain(text) }, pandoc.Attr("", { "bib-text" }, attributes)),
  }, pandoc.Attr(div.identifier, { "bib-entry", "csl-entry" }))
end

local function only_if_cited(doc)
  local cited = false
  doc:walk { Cite = function() cited = true end }
  return cited or doc.meta.nocite ~= nil
end

function Pandoc(doc)
  check_references(doc)
  if not doc.meta.bibliography then return nil end
  if not only_if_cited(doc) then
    doc.meta.bibliography = nil
    return doc
  end
  doc.meta.bibliography = plain_paths(doc.meta.bibliography)
  doc.meta["link-citations"] = true
  check_keys(doc)
  local in_english = doc:clone()
  in_english.meta.lang = "en-US"
  local english = {}
  pandoc.utils.citeproc(in_english):walk { Div = function(div)
    if div.classes:includes("csl-entry") then english[div.identifier] = div end
  end }
  doc = pandoc.utils.citeproc(doc):walk {
    Cite = function(cite)
      local marks = persian_marks(cite.content)
      marks:insert(1, pandoc.Str("\u{200f}"))
      return pandoc.Span(marks, pandoc.Attr("", { "citation" }))
    end,
    Div = function(div)
      if div.classes:includes("csl-entry") then return entry(div, english) end
      if div.identifier == "refs" and FORMAT:match("typst") then -- beside each other on paper, one below the other on a screen
        return pandoc.Blocks { pandoc.RawBlock("typst", "#reference-columns(["), div, pandoc.RawBlock("typst", "])") }
      end
    end,
  }
  for _, key in ipairs { "bibliography", "csl", "nocite", "citations", "references" } do doc.meta[key] = nil end
  return doc
end
