using System.Text;
using System.Xml;
using System.Xml.Linq;

namespace DoSandbox.Docs;

/// <summary>Writes the help file of a module of cmdlets, as Get-Help reads it.</summary>
internal static class Maml
{
    private static readonly XNamespace HelpNs = "http://msh";
    private static readonly XNamespace MamlNs = "http://schemas.microsoft.com/maml/2004/10";
    private static readonly XNamespace CommandNs = "http://schemas.microsoft.com/maml/dev/command/2004/10";
    private static readonly XNamespace DevNs = "http://schemas.microsoft.com/maml/dev/2004/10";

    public static void Write(IEnumerable<CmdletPage> pages, string file)
    {
        var document = new XDocument(new XElement(HelpNs + "helpItems", new XAttribute("schema", "maml"), pages.Select(Command)));
        using var writer = XmlWriter.Create(file, new XmlWriterSettings { Indent = true, Encoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false) });
        document.Save(writer);
    }

    private static XElement Command(CmdletPage page)
    {
        var dash = page.Name.IndexOf('-', StringComparison.Ordinal);
        return new XElement(CommandNs + "command",
            new XAttribute(XNamespace.Xmlns + "maml", MamlNs), new XAttribute(XNamespace.Xmlns + "command", CommandNs), new XAttribute(XNamespace.Xmlns + "dev", DevNs),
            new XElement(CommandNs + "details",
                new XElement(CommandNs + "name", page.Name),
                new XElement(CommandNs + "verb", page.Name[..dash]),
                new XElement(CommandNs + "noun", page.Name[(dash + 1)..]),
                new XElement(MamlNs + "description", Paragraphs(page.Synopsis))),
            new XElement(MamlNs + "description", Paragraphs(page.Description)),
            new XElement(CommandNs + "syntax", (page.Sets is [] ? ["(All)"] : page.Sets).Select(set => new XElement(CommandNs + "syntaxItem",
                new XElement(MamlNs + "name", page.Name),
                page.Parameters.Where(parameter => parameter.IsIn(set))
                    .OrderBy(parameter => int.TryParse(parameter.Position, out var position) ? position : int.MaxValue)
                    .Select(parameter => Parameter(parameter, inSyntax: true))))),
            new XElement(CommandNs + "parameters", page.Parameters.OrderBy(parameter => parameter.Name, StringComparer.Ordinal).Select(parameter => Parameter(parameter, inSyntax: false))),
            new XElement(CommandNs + "inputTypes", page.Inputs.Select(input => new XElement(CommandNs + "inputType", Typed(input)))),
            new XElement(CommandNs + "returnValues", page.Outputs.Select(output => new XElement(CommandNs + "returnValue", Typed(output)))),
            new XElement(MamlNs + "alertSet", new XElement(MamlNs + "alert", Paragraphs(page.Notes))),
            new XElement(CommandNs + "examples", page.Examples.Select(example => new XElement(CommandNs + "example",
                new XElement(MamlNs + "title", $"------- {example.Title} -------"),
                new XElement(DevNs + "code", example.Code),
                new XElement(DevNs + "remarks", Paragraphs(example.Remarks))))),
            new XElement(CommandNs + "relatedLinks", page.Links.Select(link => new XElement(MamlNs + "navigationLink",
                new XElement(MamlNs + "linkText", link), new XElement(MamlNs + "uri")))));
    }

    private static XElement Parameter(ParameterPage parameter, bool inSyntax)
    {
        var isSwitch = string.Equals(parameter.Type, "SwitchParameter", StringComparison.Ordinal);
        return new XElement(CommandNs + "parameter",
            new XAttribute("required", parameter.Required ? "true" : "false"),
            new XAttribute("variableLength", "true"),
            new XAttribute("globbing", parameter.Wildcards ? "true" : "false"),
            new XAttribute("pipelineInput", parameter.PipelineInput),
            new XAttribute("position", parameter.Position.ToLowerInvariant()),
            new XAttribute("aliases", parameter.Aliases is { Length: > 0 } aliases ? aliases : "none"),
            new XElement(MamlNs + "name", parameter.Name),
            new XElement(MamlNs + "description", Paragraphs(parameter.Description)),
            isSwitch && inSyntax ? null : new XElement(CommandNs + "parameterValue",
                new XAttribute("required", isSwitch ? "false" : "true"), new XAttribute("variableLength", "false"), parameter.Type),
            new XElement(DevNs + "type", new XElement(MamlNs + "name", parameter.Type), new XElement(MamlNs + "uri")),
            new XElement(DevNs + "defaultValue", parameter.Default));
    }

    private static object[] Typed((string Type, IReadOnlyList<string> Text) typed) =>
    [
        new XElement(DevNs + "type", new XElement(MamlNs + "name", typed.Type)),
        new XElement(MamlNs + "description", Paragraphs(typed.Text)),
    ];

    private static IEnumerable<XElement> Paragraphs(IReadOnlyList<string> paragraphs) => paragraphs.Select(text => new XElement(MamlNs + "para", text));
}
