-- Callouts of the HTML page, the same on both routes, before all else (Quarto: at pre-ast). On a page without its theme
-- Quarto makes block quotes of them; in Typst both routes call `callout` of look.typ. The first filter that Quarto runs
-- also refuses versions whose pages and PDFs were seen to be wrong.

local stringify = pandoc.utils.stringify
local KINDS = { note = true, tip = true, important = true, warning = true, caution = true }

if quarto and pandoc.utils.type(quarto.version) == "Version" and quarto.version < pandoc.types.Version("1.9") then
  assert(false, "Quarto " .. tostring(quarto.version) .. " is too old for this report (1.9 or later); make works without it")
end

local function default_title(kind) -- of Quarto's language file
  for line in io.lines(pandoc.path.join { pandoc.path.directory(PANDOC_SCRIPT_FILE), "..", "fa.yml" }) do
    local title = line:match("^callout%-" .. kind .. '%-title: "(.*)"$')
    if title then return pandoc.Inlines { pandoc.Str(title) } end
  end
end

function Div(div)
  local kind = div.classes[1] and div.classes[1]:match("^callout%-(%a+)$")
  if not KINDS[kind] or not FORMAT:match("html") then return nil end
  if div.identifier ~= "" then error("a callout cannot have a label: #" .. div.identifier .. " ⟨#" .. div.identifier .. "⟩", 0) end
  local title = div.attributes.title and pandoc.read(div.attributes.title, "markdown").blocks[1].content
  local collapse = div.attributes.collapse -- nil: it does not fold; "true": it is folded
  for name in pairs(div.attributes) do
    if name ~= "title" and name ~= "collapse" then error("the callout option " .. name .. " is outside the subset ⟨" .. name .. "=⟩", 0) end
  end
  if div.content[1] and div.content[1].t == "Header" then title = div.content:remove(1).content end
  title = title or default_title(kind)
  if collapse then
    div.content:insert(1, pandoc.RawBlock("html", "<details" .. (collapse == "true" and "" or " open") .. '><summary class="notice-title">'))
    div.content:insert(2, pandoc.Plain(title))
    div.content:insert(3, pandoc.RawBlock("html", "</summary>"))
    div.content:insert(pandoc.RawBlock("html", "</details>"))
  else
    div.content:insert(1, pandoc.Div({ pandoc.Plain(title) }, pandoc.Attr("", { "notice-title" })))
  end
  return pandoc.Div(div.content, pandoc.Attr("", { "notice", kind }, { role = "note" })) -- a name that Quarto does not take for its own
end
