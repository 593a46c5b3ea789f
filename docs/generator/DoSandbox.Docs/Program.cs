namespace DoSandbox.Docs;

/// <summary>Makes the module's help (module/en-US) from the pages in docs/en-US.</summary>
internal static class Program
{
    private const string HelpFile = "DoSandbox.PowerShell.dll-Help.xml";
    private const string AboutPrefix = "about_";

    private static int Main(string[] args)
    {
        try
        {
            var (pages, target) = args switch
            {
                [] => (Path.Combine(FindRepository(), "docs", "en-US"), Path.Combine(FindRepository(), "module", "en-US")),
                [var from, var to] => (from, to),
                _ => throw new PageException("usage: DoSandbox.Docs [<folder of pages> <folder of the help>]"),
            };
            Directory.CreateDirectory(target);
            var cmdlets = new List<CmdletPage>();
            foreach (var file in Directory.EnumerateFiles(pages, "*.md").Order(StringComparer.Ordinal))
            {
                var name = Path.GetFileNameWithoutExtension(file);
                if (name.StartsWith(AboutPrefix, StringComparison.Ordinal))
                {
                    File.WriteAllText(Path.Combine(target, name + ".help.txt"), AboutText.FromMarkdown(File.ReadAllText(file)));
                }
                else
                {
                    cmdlets.Add(CmdletPage.Parse(file));
                }
            }

            Maml.Write(cmdlets, Path.Combine(target, HelpFile));
            Console.WriteLine($"docs: {cmdlets.Count} cmdlets, help written to {target}");
            return 0;
        }
        catch (PageException exception)
        {
            Console.Error.WriteLine($"docs: {exception.Message}");
            return 1;
        }
    }

    private static string FindRepository()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "DoSandbox.slnx")))
            {
                return folder.FullName;
            }
        }

        throw new PageException("The repository is not above this program: name the folders.");
    }
}

/// <summary>A page is not as it should be.</summary>
internal sealed class PageException(string message) : Exception(message);
